// Texts to show and to measure with, so that the demo and the benchmark need no file.
#pragma once

#include <string>
#include <vector>

namespace remuda::cli {

// Some sixty texts on a dozen subjects, from three words to a paragraph.
const std::vector<std::string>& bundled_texts();

// Questions that some of them answer, in other words.
const std::vector<std::string>& bundled_queries();

// A few paragraphs on programs, to summarise.
const std::vector<std::string>& bundled_documents();

}  // namespace remuda::cli
