// The tokens of a template as a parser wants them, and the limits that keep a hostile one from exhausting the
// stack.
#pragma once

#include <string>
#include <vector>

#include "caltrop/base/error.h"
#include "caltrop/text/jinja_lexer.h"

namespace caltrop::jinja {

class TokenStream {
 public:
  TokenStream(std::vector<Token> tokens, std::string name)
      : tokens_(std::move(tokens)), name_(std::move(name)) {}

  const Token& now() const { return tokens_[at_]; }
  const Token& next() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  Token take() { return at_ + 1 < tokens_.size() ? tokens_[at_++] : tokens_[at_]; }
  int line() const { return now().line; }

  bool skip_operator(std::string_view text) { return now().is_operator(text) && (take(), true); }
  bool skip_name(std::string_view text) { return now().is_name(text) && (take(), true); }
  void want_operator(std::string_view text) {
    if (!skip_operator(text)) fail("got {}, want '{}'", now().spelt(), text);
  }
  void want_name(std::string_view text) {
    if (!skip_name(text)) fail("got {}, want '{}'", now().spelt(), text);
  }
  std::string want_any_name(std::string_view what) {
    if (now().kind != Token::Kind::kName) fail("got {}, want {}", now().spelt(), what);
    return take().text;
  }
  void want(Token::Kind kind, std::string_view spelt) {
    if (now().kind != kind) fail("got {}, want '{}'", now().spelt(), spelt);
    take();
  }

  std::string where() const { return fmt::format("{}: line {}", name_, line()); }
  template <typename... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    throw UserError("{}: {}", where(), fmt::format(format, std::forward<Args>(args)...));
  }

  /// Exists while something nested is parsed; fails when there are too many.
  class Nested {
   public:
    explicit Nested(TokenStream& stream) : stream_(stream) {
      if (++stream_.nested_ > kDeepest) stream_.fail("nested more than {} deep", kDeepest);
    }
    ~Nested() { --stream_.nested_; }
    Nested(const Nested&) = delete;

   private:
    static constexpr int kDeepest = 100;
    TokenStream& stream_;
  };

 private:
  std::vector<Token> tokens_;
  std::string name_;
  size_t at_ = 0;
  int nested_ = 0;
};

}  // namespace caltrop::jinja
