// How much a computation and its matrices take, known before any of it is taken.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <vector>

#include "remuda/precision.h"

namespace remuda::models {

// What WorkspaceArena takes for a workspace of so many bytes.
uint64_t workspace_block(uint64_t bytes);

// What workspaces take at most that are there at first and idle afterwards, and those that are wanted at once after
// them: where WorkspaceArena would have it so, these take the place of idle ones.
uint64_t workspaces_in_turn(std::vector<uint64_t> first, std::initializer_list<uint64_t> then);

// What packing a matrix takes at most beside what it is packed to.
int64_t packing_bytes();

// A matrix [out_features, in_features] as the instruction set in use has it.
int64_t packed_matrix_bytes(int64_t out_features, int64_t in_features, Precision precision);

// What a product takes beside its operands for so many rows, prepared for the instruction set in use.
uint64_t prepared_rows_bytes(int64_t rows, int64_t in_features, Precision precision);

}  // namespace remuda::models
