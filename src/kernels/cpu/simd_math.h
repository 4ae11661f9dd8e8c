// exp, tanh and the two GELUs over the vectors of simd_*.h. A NaN gives a NaN; errors are measured against
// double.
#pragma once

namespace remuda::kernels {
namespace {

// e^x, relative error at most 2e-7 (2 ulp); gradual underflow to 0 below -87.3, infinity above 88.7.
template <typename V>
inline V vexp(V x) {
  // Cody-Waite: x = n ln 2 + r with |r| <= ln 2 / 2; ln 2 in two parts, the first with few enough bits that n
  // times it is exact.
  x = min(V::set(89.0f), max(V::set(-104.0f), x));
  const V n = round(x * V::set(1.44269504088896341f));
  V r = fma(n, V::set(-0.693359375f), x);
  r = fma(n, V::set(2.12194440e-4f), r);
  // (e^r - 1 - r) / r^2, the minimax polynomial of Cephes' expf.
  V p = V::set(1.9875691500e-4f);
  p = fma(p, r, V::set(1.3981999507e-3f));
  p = fma(p, r, V::set(8.3334519073e-3f));
  p = fma(p, r, V::set(4.1665795894e-2f));
  p = fma(p, r, V::set(1.6666665459e-1f));
  p = fma(p, r, V::set(5.0000001201e-1f));
  p = fma(p, r * r, r) + V::set(1.0f);
  return scale_pow2(p, n);
}

// tanh x, relative error at most 4e-7.
template <typename V>
inline V vtanh(V x) {
  const V magnitude = abs(x);
  const V e = vexp(magnitude * V::set(-2.0f));
  const V one = V::set(1.0f);
  const V large = copysign((one - e) / (one + e), x);
  // Near 0 the quotient cancels; an odd polynomial (Cephes' tanhf) does not.
  const V z = x * x;
  V p = V::set(-5.70498872745e-3f);
  p = fma(p, z, V::set(2.06390887954e-2f));
  p = fma(p, z, V::set(-5.37397155531e-2f));
  p = fma(p, z, V::set(1.33314422036e-1f));
  p = fma(p, z, V::set(-3.33332819422e-1f));
  const V small = fma(p * z, x, x);
  return select_less(magnitude, V::set(0.625f), small, large);
}

// x (1 + erf(x / sqrt 2)) / 2 = max(x, 0) - |x| Q(|x|), where Q is the upper tail of the normal distribution
// (Hendrycks and Gimpel 2016). The error is at most 2e-7 max(1, |x|): the second term, which is never above
// 0.17, is a polynomial.
template <typename V>
inline V vgelu(V x) {
  const V magnitude = abs(x);
  const V limit = V::set(5.5f);  // |x| Q(|x|) = 1e-7
  // Q(5.5 (1 + u) / 2) for u in [-1, 1], fitted with the weight 1 + u.
  const V u = fma(min(limit, magnitude), V::set(2.0f / 5.5f), V::set(-1.0f));
  V q = V::set(-1.444386318e-03f);
  q = fma(q, u, V::set(2.502216492e-03f));
  q = fma(q, u, V::set(7.089609746e-03f));
  q = fma(q, u, V::set(-1.755999401e-02f));
  q = fma(q, u, V::set(-7.957555354e-03f));
  q = fma(q, u, V::set(5.286403373e-02f));
  q = fma(q, u, V::set(-3.116866015e-02f));
  q = fma(q, u, V::set(-7.128993422e-02f));
  q = fma(q, u, V::set(1.271872967e-01f));
  q = fma(q, u, V::set(-2.287171967e-02f));
  q = fma(q, u, V::set(-1.616064161e-01f));
  q = fma(q, u, V::set(2.148091793e-01f));
  q = fma(q, u, V::set(-5.152218416e-02f));
  q = fma(q, u, V::set(-1.765996963e-01f));
  q = fma(q, u, V::set(2.718836367e-01f));
  q = fma(q, u, V::set(-2.068468034e-01f));
  q = fma(q, u, V::set(9.455893934e-02f));
  q = fma(q, u, V::set(-2.500730753e-02f));
  q = fma(q, u, V::set(2.979762852e-03f));
  const V tail = select_less(magnitude, limit, magnitude * q, V::zero());
  return max(V::zero(), x) - tail;
}

// x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 = x / (1 + exp(-2 ...)), error at most 4e-7 max(1, |x|).
template <typename V>
inline V vgelu_tanh(V x) {
  const V cubic = fma(x * x, V::set(0.044715f), V::set(1.0f)) * x;
  const V e = vexp(cubic * V::set(-2.0f * 0.797884560802865356f));
  return x / (V::set(1.0f) + e);
}

template <typename V>
inline V vrelu(V x) {
  return max(V::zero(), x);
}

}  // namespace
}  // namespace remuda::kernels
