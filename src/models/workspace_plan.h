// How much the workspaces of a computation take together, known before any of them is taken.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <vector>

namespace remuda::models {

// What WorkspaceArena takes for a workspace of so many bytes.
uint64_t workspace_block(uint64_t bytes);

// What workspaces take at most that are there at first and idle afterwards, and those that are wanted at once after
// them: where WorkspaceArena would have it so, these take the place of idle ones.
uint64_t workspaces_in_turn(std::vector<uint64_t> first, std::initializer_list<uint64_t> then);

// What packing a matrix takes at most beside what it is packed to.
int64_t packing_bytes();

}  // namespace remuda::models
