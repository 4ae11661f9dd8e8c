// The matrix products of one instruction set and precision, behind function pointers.
//
// The arguments are plain structs: the sources behind them are compiled with an instruction set's flags, and so must
// not share inline functions with the rest of the program (see simd_generic.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/activation.h"

namespace remuda::kernels {

// Rows of x times one panel of weights.
struct LinearPanel {
  // [rows, in_features]: floats as they are, or as prepare_rows left them; 4-byte aligned.
  const std::byte* x;
  int64_t x_stride_bytes;
  const std::byte* panel;
  const std::byte* next;  // The panel to follow, which is fetched meanwhile; nullptr for none.
  int64_t in_features;
  int64_t rows;
  int64_t outputs;  // Of the panel's outputs, those that exist; the last panel is padded.
  float* y;         // [rows, outputs]
  int64_t y_stride;
  const float* bias;  // [outputs], or nullptr.
  Activation activation;
  const float* residual;  // [rows, outputs], or nullptr.
  int64_t residual_stride;
};

struct PreparedRows {
  const float* x;
  int64_t x_stride;
  int64_t rows;
  int64_t in_features;
  std::byte* out;  // 64-byte aligned, as is the stride.
  int64_t out_stride_bytes;
};

struct LinearKernels {
  int64_t panel_outputs;
  int64_t tile_rows;  // Rows that are computed at a time: work is best split at multiples of it.
  int64_t (*panel_bytes)(int64_t in_features);
  // rows: [panel_outputs, in_features] floats, zeros for missing outputs; may be overwritten. panel: 64-byte aligned.
  void (*pack_panel)(float* rows, int64_t in_features, std::byte* panel);
  // Bytes of a row of x in the form that multiply_panel takes; nullptr when it takes floats as they are.
  int64_t (*prepared_row_bytes)(int64_t in_features);
  void (*prepare_rows)(const PreparedRows& rows);
  void (*multiply_panel)(const LinearPanel& panel);
};

// All precisions of an instruction set.
struct LinearKernelSet {
  LinearKernels fp32;
  LinearKernels bf16;
  LinearKernels int8;
};

// Declared on every machine, defined where CMake adds their sources; linear.cc names only those that exist.
extern const LinearKernelSet kLinearGeneric;
extern const LinearKernelSet kLinearAvx2;
extern const LinearKernelSet kLinearAvx512;
extern const LinearKernels kInt8Avx512Vnni;
extern const LinearKernels kBf16Avx512Bf16;

}  // namespace remuda::kernels
