// The entries of a zip archive in memory, of the kind that torch.save writes: stored, not compressed.
// The format: APPNOTE.TXT of PKWARE, sections 4.3 and 4.5.3 (zip64). Nothing the archive says is believed unchecked.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>

namespace remuda::io {

struct ZipDirectory {
  std::map<std::string, std::span<const std::byte>, std::less<>> entries;  // Views of the archive's bytes.
  std::string first;  // The name of the entry that is listed first; empty: there are none.
};

bool is_zip(std::span<const std::byte> file);

// `path` is for messages. Entries lie inside the file and don't overlap. Throws Error(kInvalidFile) for damage and
// Error(kUnsupported) for compression and encryption, naming the entry.
ZipDirectory read_zip_directory(std::span<const std::byte> file, const std::string& path);

}  // namespace remuda::io
