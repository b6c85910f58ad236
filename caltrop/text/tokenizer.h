// Text to token ids and back, from a Hugging Face tokenizer.json.
//
// A text goes through five stages, each described by a part of the file:
//
//   added tokens     "<|im_end|>" and its like are cut out of the text first           added_tokens.h
//   normalizer       Unicode normalisation of what lies between                        normalizer.h
//   pre-tokenizer    into words, by regular expressions; no token crosses a word       pre_tokenizer.h
//   model            byte-pair encoding: each word into tokens                         bpe.h
//   post-processor   the tokens that start or end every text ("<|begin_of_text|>")     post_processor.h
//
// and comes back through the decoder (decoder.h). The reference is the Rust library `tokenizers`: every id is
// meant to be the one that it gives, and tools/compare_tokenizers.py holds us to it on real tokenizers. What
// we do not know in a file is a UserError that names it and its place, never skipped: a tokenizer that is
// nearly right trains a model on the wrong text without a sign.
//
// Tested by tests/text/tokenizer_test.cc and, stage by stage, by the other tests of tests/text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "caltrop/base/json.h"
#include "caltrop/text/span.h"

namespace caltrop {

struct Encoding {
  std::vector<int64_t> ids;
  /// Where each token comes from, in bytes of the text, one an id. Tokens of a byte-level vocabulary have
  /// exact bytes, also when they are a part of one character, and spaces stay in their spans. Where the
  /// normalizer changed a character, a token of it has the span of all characters that were normalised
  /// together. A token that no text stands for (a start or end token of the post-processor) has an empty span
  /// at that end of the text.
  std::vector<Span> spans;
};

/// Immutable; copies share one tokenizer. Any number of threads may use one at a time.
class Tokenizer {
 public:
  /// Reads `folder`/tokenizer.json. Throws UserError.
  static Tokenizer load(const std::filesystem::path& folder);
  /// The same from parsed JSON; `source` names it in errors. Throws UserError "<source>: <place>: …" for a
  /// component or an option that is unknown, and for a vocabulary that contradicts itself.
  static Tokenizer from_json(const Json& tokenizer_json, const std::string& source);

  /// Token ids of `text`; with `add_special_tokens` also those that the post-processor puts before and after.
  /// Added tokens that are spelt out in the text are recognised in either case: callers that must not let a
  /// text speak for the chat template have to look for them first. Throws UserError for text that is not
  /// valid UTF-8.
  Encoding encode(std::string_view text, bool add_special_tokens) const;

  /// The text of `ids`: always valid UTF-8, bytes that are not become U+FFFD. Ids without a token give no
  /// text, as in the reference: the vocabulary of a model may be padded, and such an id may be sampled from
  /// it.
  std::string decode(std::span<const int64_t> ids, bool skip_special_tokens) const;

  /// Largest id plus one; there may be ids below it that no token has.
  int64_t vocabulary_size() const;
  /// The id of a token as it is spelt in the file ("Ġthe" for " the"), added tokens included.
  std::optional<int64_t> token_to_id(std::string_view token) const;
  /// The token as it is spelt in the file. Throws UserError for an id that no token has.
  std::string id_to_token(int64_t id) const;
  bool has_token(int64_t id) const;
  /// Throws UserError "<who>: …" for an id that a model with `vocabulary` embeddings has none for.
  void check_ids(std::span<const int64_t> ids, int64_t vocabulary, const std::string& who) const;
  /// Whether the id is an added token with `special`: true; false for ids that no token has.
  bool is_special(int64_t id) const;

 private:
  friend class StreamDecoder;
  struct Parts;
  explicit Tokenizer(std::shared_ptr<const Parts> parts);
  std::shared_ptr<const Parts> parts_;
};

/// decode() one id at a time: holds back the bytes of a character that is not complete yet. The pieces of
/// push() and the one of finish() make together exactly what decode() gives. For one thread.
class StreamDecoder {
 public:
  StreamDecoder(Tokenizer tokenizer, bool skip_special_tokens);
  /// The text that is certain after this id; may be empty.
  std::string push(int64_t id);
  /// What was held back: "" or U+FFFD. Then the decoder is as new.
  std::string finish();

 private:
  Tokenizer tokenizer_;
  bool skip_special_tokens_;
  bool first_ = true;
  std::string held_;
};

}  // namespace caltrop
