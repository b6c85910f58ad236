// Examples -> token rows: the only place that decides which tokens have a loss.
//
// The chat template says which bytes of the rendered text the assistant says; a token has a loss iff its
// bytes lie within them, the token that ends the turn included. Tested by tests/data/collate_test.cc.
#pragma once

#include <filesystem>
#include <limits>
#include <string>

#include "caltrop/data/batch.h"
#include "caltrop/data/example.h"
#include "caltrop/text/chat.h"
#include "caltrop/text/tokenizer.h"

namespace caltrop {

/// How a model reads and writes: its tokenizer and its chat template. Immutable, thread-safe.
class ChatEncoder {
 public:
  /// From a model folder. Throws UserError.
  static ChatEncoder load(const std::filesystem::path& folder);
  /// `vocabulary`: of the model; an id at or beyond it is a UserError, for it has no embedding.
  ChatEncoder(Tokenizer tokenizer, ChatTemplate chat,
              int64_t vocabulary = std::numeric_limits<int64_t>::max());

  /// A whole example with its answer. Answers are cut to `longest` tokens in all; an example without an answer, or whose
  /// prompt leaves no room for it, is a UserError naming it.
  TokenRow encode(const Example& example, int64_t longest) const;

  /// The prompt up to where the assistant begins to speak; no token has a loss.
  TokenRow encode_prompt(const Example& example, int64_t longest) const;

  /// A text and what may follow it, for scoring by likelihood: `continuation` alone has a loss. As a chat, it
  /// is the whole answer to `prompt`, without the end of the turn; otherwise it follows the plain text
  /// directly. Throws UserError for one that the tokenizer melts into what stands before it.
  TokenRow encode_continuation(const std::string& prompt, const std::string& continuation, bool chat) const;

  const Tokenizer& tokenizer() const { return tokenizer_; }

 private:
  /// The text's tokens; those within one of `said` have a loss.
  TokenRow encode_text(const std::string& text, const std::vector<Span>& said, bool add_special_tokens,
                       const std::string& who) const;

  Tokenizer tokenizer_;
  ChatTemplate chat_;
  int64_t vocabulary_;
};

}  // namespace caltrop
