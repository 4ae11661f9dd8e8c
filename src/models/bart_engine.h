// What documents are decoded with, on one device: a BART's forward passes over it, and the memory that they take there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <span>
#include <vector>

#include "generation/search.h"
#include "io/bart_config.h"
#include "models/bart_memory.h"
#include "models/transformer_encoder.h"

namespace remuda::models {

// The engine of one batch of documents. Not thread-safe: one thread at a time. Whatever is in a step beside a document,
// its results are the same.
class BartEngine {
 public:
  // A document that was encoded, and the state of its decoding. Gives its memory back when it is destroyed, which must
  // be before its engine is.
  class Document {
   public:
    virtual ~Document() = default;
    Document(const Document&) = delete;
    Document& operator=(const Document&) = delete;

   protected:
    Document() = default;
  };

  struct DocumentStep {
    Document* document = nullptr;
    Search* search = nullptr;  // Not finished.
    // Set by step(): why the search can't go on, which is no other's fault. Null where it can.
    std::exception_ptr error = nullptr;
  };

  virtual ~BartEngine() = default;
  BartEngine(const BartEngine&) = delete;
  BartEngine& operator=(const BartEngine&) = delete;

  virtual const io::BartConfig& config() const = 0;

  // Memory of the device: that a document takes until it is destroyed; that encode() takes beside its documents, for so
  // many tokens of them together; that step() takes for so many rows of all documents together, logits included.
  virtual size_t document_bytes(int64_t encoder_tokens, const DecodeLimits& limits) const = 0;
  virtual size_t encode_bytes(int64_t tokens) const = 0;
  virtual size_t step_bytes(int64_t rows) const = 0;

  // Encodes documents for decoding, limits[i] for document i. Throws Error(kInvalidArgument) for ids outside the
  // vocabulary, and for documents that are empty or longer than max_position_embeddings; OutOfMemory; what the device
  // throws.
  virtual std::vector<std::unique_ptr<Document>> encode(const RaggedIds& batch,
                                                        std::span<const DecodeLimits> limits) = 0;

  // Computes the rows that each search wants next, and advances it. Documents may be at different positions; each is
  // there once. What is thrown concerns all of them: OutOfMemory, and what the device throws. Then they are fit for
  // nothing but destruction, and so is a document that has an error.
  virtual void step(std::span<DocumentStep> documents) = 0;

 protected:
  BartEngine() = default;
};

// A BART's weights on one device. Immutable and thread-safe; outlives its engines.
class BartModel {
 public:
  virtual ~BartModel() = default;
  BartModel(const BartModel&) = delete;
  BartModel& operator=(const BartModel&) = delete;

  virtual const io::BartConfig& config() const = 0;
  // Memory that the weights take there, and what of it is pages of files.
  virtual size_t bytes() const = 0;
  virtual size_t mapped_bytes() const = 0;

  // Takes nothing of the device until there are documents.
  virtual std::unique_ptr<BartEngine> make_engine() const = 0;

 protected:
  BartModel() = default;
};

}  // namespace remuda::models
