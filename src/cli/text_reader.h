// Texts from files or standard input, a chunk at a time, so that no input has to fit into memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <vector>

#include "cli/text_encoding.h"

namespace remuda::cli {

struct TextReaderOptions {
  std::vector<std::string> files;  // "-" is standard input; none: standard input.
  bool jsonl = false;              // A line is a JSON object with the text in a field; blank lines are skipped.
  std::string field = "text";      // Of those objects.
  bool skip_bad = false;           // Lines that aren't such objects are counted in TextChunk::failed, no error.
  bool whole_files = false;        // A file is a text, as it stands; an empty file is an empty text.
  size_t max_texts = 256;          // A chunk ends with whichever comes first.
  size_t max_bytes = size_t{1} << 20;
};

// A text that there is no result for, by its place among those it came with.
struct FailedText {
  int64_t position;
  std::string reason;  // Follows the text's number in messages: ": expected ...".
};

struct TextChunk {
  std::vector<std::string> texts;
  std::vector<FailedText> failed;  // Of `texts`, where these are empty; in order.
};

// A text is a line without its '\n' and without one '\r' before it; an empty line is an empty text, and what follows
// the last '\n' is a text if it is not empty. A byte order mark is no part of the first text; UTF-16 that begins with
// one is read, and what begins as a compressed file or another kind that is no text is refused.
class TextReader {
 public:
  // Throws Error(kNotFound) or Error(kIo) when a file cannot be read, before any text is.
  explicit TextReader(TextReaderOptions options);
  ~TextReader();
  TextReader(const TextReader&) = delete;
  TextReader& operator=(const TextReader&) = delete;

  // Of the chunks to come.
  void set_max_texts(size_t max_texts) { options_.max_texts = max_texts; }

  // Replaces `texts` by the next chunk; false at the end, and when interrupted. A chunk is handed out short rather than
  // waiting for a slow writer. Throws Error naming file and line, after the texts before it have been handed out.
  bool read(TextChunk& chunk);
  // The same without skip_bad.
  bool read(std::vector<std::string>& texts);

  // Whether read() would return without waiting for input (of a line that has begun, it waits for the rest).
  bool ready() const;

  // Of all files together; nullopt where one is not a regular file.
  std::optional<uint64_t> total_bytes() const { return total_bytes_; }
  uint64_t bytes_read() const { return bytes_read_; }

  // Malformed UTF-8 and halves of surrogate pairs that were read as U+FFFD, beyond those that are left in the texts.
  int64_t repaired() const { return repaired_; }

 private:
  bool open_next();
  void close_file();
  bool fill();
  bool read_more(std::string& bytes);
  void recognise();
  void look_for_json(std::string_view line) const;
  std::string parse_json(std::string& line);
  void take_line(size_t end, bool newline, std::string& line);
  bool next_line(std::string& line);
  bool next_file(std::string& text);
  bool next_text(std::string& text);

  TextReaderOptions options_;
  std::optional<uint64_t> total_bytes_;
  uint64_t bytes_read_ = 0;

  size_t next_file_ = 0;
  int fd_ = -1;
  std::string name_;  // Of the open file, for messages.
  int64_t line_number_ = 0;
  bool at_start_ = false;                // Whether the open file's first bytes are still to be looked at.
  std::optional<Utf16Decoder> decoder_;  // Of the open file; none: it is UTF-8.
  int64_t repaired_ = 0;

  std::string buffer_;
  size_t begin_ = 0;            // Of the unread part of buffer_.
  size_t scanned_ = 0;          // No '\n' stands before it in the unread part.
  std::exception_ptr failure_;  // Thrown by the next read().
};

}  // namespace remuda::cli
