// What a checkpoint says of itself, for a model's description.
#pragma once

#include "io/checkpoint.h"

namespace remuda {

// `Info` is one of the public descriptions of models; fills parameters, files and file_bytes. Loads no weights.
template <typename Info>
void describe_files(const io::Checkpoint& checkpoint, Info& info) {
  info.parameters = checkpoint.parameter_count();
  for (const io::MappedFile& file : checkpoint.files()) {
    info.files.push_back(file.path().string());
    info.file_bytes += file.bytes().size();
  }
}

}  // namespace remuda
