// exp, tanh, the GELUs and their kin over the vectors of simd_*.h. A NaN gives a NaN; errors are measured against
// double.
#pragma once

namespace remuda::kernels {
namespace {

// e^x, relative error at most 2e-7 (2 ulp) in [-87.3, 88.3]; below it falls to 0, above it rises to infinity.
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

// x (1 + erf(x / sqrt 2)) / 2 = max(x, 0) - |x| Q(|x|), where Q is the upper tail of the normal distribution (Hendrycks
// and Gimpel 2016); error at most 2e-7 max(1, |x|).
template <typename V>
inline V vgelu(V x) {
  // Q(t) = 1 / (2 p(t)^4), in the manner of Abramowitz and Stegun 7.1.28: (2 Q)^(-1/4) is smooth and grows slowly, so
  // a polynomial fits it (on [0, 6], weighted by what its error does to t Q), and no exponential is needed. Above 6,
  // where t Q is less than 1e-8, p goes on rising until p^4 overflows and t Q is 0; the limit is for infinities.
  const V t = min(V::set(1000.0f), abs(x));
  V p = V::set(1.116866656e-06f);
  p = fma(p, t, V::set(-1.491350940e-05f));
  p = fma(p, t, V::set(9.801519627e-05f));
  p = fma(p, t, V::set(-3.479497391e-04f));
  p = fma(p, t, V::set(8.727994282e-04f));
  p = fma(p, t, V::set(-9.761883412e-04f));
  p = fma(p, t, V::set(2.621556399e-03f));
  p = fma(p, t, V::set(4.680412356e-03f));
  p = fma(p, t, V::set(2.655221894e-02f));
  p = fma(p, t, V::set(9.942049533e-02f));
  p = fma(p, t, V::set(1.994748414e-01f));
  p = fma(p, t, V::set(1.0f));
  p = p * p;
  p = p * p;
  return max(V::zero(), x) - (t * V::set(0.5f)) / p;
}

// x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 = x / (1 + exp(-2 ...)), error at most 4e-7 max(1, |x|).
template <typename V>
inline V vgelu_tanh(V x) {
  const V cubic = fma(x * x, V::set(0.044715f), V::set(1.0f)) * x;
  const V e = vexp(cubic * V::set(-2.0f * 0.797884560802865356f));
  return x / (V::set(1.0f) + e);
}

// 1 / (1 + e^-x), relative error at most 4e-7 where it is above 1e-37.
template <typename V>
inline V vsigmoid(V x) {
  const V one = V::set(1.0f);
  return one / (one + vexp(x * V::set(-1.0f)));
}

// x sigmoid(slope x): SiLU for a slope of 1, the quick GELU for 1.702; error at most 4e-7 max(1, |x|).
template <typename V>
inline V vgated_sigmoid(V x, float slope) {
  return x / (V::set(1.0f) + vexp(x * V::set(-slope)));
}

// x tanh(ln(1 + e^x)) (Misra 2019) = x n / (n + 2) with n = e^x (e^x + 2); error at most 4e-7 max(1, |x|). The quotient
// is 1 long before n overflows.
template <typename V>
inline V vmish(V x) {
  const V e = vexp(min(V::set(30.0f), x));
  const V two = V::set(2.0f);
  const V n = e * (e + two);
  return x * (n / (n + two));
}

template <typename V>
inline V vrelu(V x) {
  return max(V::zero(), x);
}

}  // namespace
}  // namespace remuda::kernels
