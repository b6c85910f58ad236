#include "caltrop/text/jinja_lexer.h"

#include <algorithm>
#include <array>

#include "caltrop/base/error.h"
#include "caltrop/text/jinja_literal.h"
#include "caltrop/text/python_text.h"

namespace caltrop::jinja {
namespace {

using Kind = Token::Kind;

/// "\r\n" and "\r" become "\n", and a line feed at the end goes.
std::string normalize_lines(const std::string& source) {
  std::string out;
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_byte(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}

// Longer ones first.
constexpr std::array kOperators = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
                                   "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};

class Lexer {
 public:
  Lexer(const std::string& source, const std::string& name) : source_(normalize_lines(source)), name_(name) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) {
      const size_t tag = find_tag();
      if (tag == std::string::npos) {
        add_text(source_.substr(at_));
        break;
      }
      read_tag(tag);
    }
    add(Kind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  template <typename... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    throw UserError("{}: line {}: {}", name_, line_, fmt::format(format, std::forward<Args>(args)...));
  }

  void add(Kind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }
  void add_text(std::string text) {
    if (!text.empty()) add(Kind::kText, std::move(text));
  }

  void move_to(size_t to) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         source_.begin() + static_cast<std::ptrdiff_t>(to), '\n'));
    at_ = to;
  }

  bool here(std::string_view text) const { return source_.compare(at_, text.size(), text) == 0; }

  size_t after_space(size_t from) const {
    return source_.size() - strip(std::string_view(source_).substr(from), Ends::kLeft).size();
  }

  size_t find_tag() const {
    for (size_t i = source_.find('{', at_); i != std::string::npos; i = source_.find('{', i + 1)) {
      const char next = i + 1 < source_.size() ? source_[i + 1] : '\0';
      if (next == '{' || next == '%' || next == '#') return i;
    }
    return std::string::npos;
  }

  /// The text before a tag at `tag`, as much of it as the tag leaves.
  std::string text_before(size_t tag, char sign, bool is_print) const {
    std::string text = source_.substr(at_, tag - at_);
    if (sign == '-') return std::string(strip(text, Ends::kRight));
    if (sign == '+' || is_print) return text;
    const size_t line_start = text.rfind('\n') + 1;  // 0 if there is none
    const bool starts_line = line_start > 0 || at_ == 0 || source_[at_ - 1] == '\n';
    if (starts_line && strip(std::string_view(text).substr(line_start), Ends::kLeft).empty())
      text.resize(line_start);
    return text;
  }

  void read_tag(size_t tag) {
    const char type = source_[tag + 1];
    const char next = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    const char sign = next == '-' || next == '+' ? next : '\0';
    add_text(text_before(tag, sign, type == '{'));
    move_to(tag + 2 + (sign != '\0' ? 1 : 0));
    if (type == '#') {
      read_comment();
    } else if (type == '{') {
      read_expression(Kind::kPrintBegin, Kind::kPrintEnd, "}}");
    } else if (!read_raw()) {
      read_expression(Kind::kBlockBegin, Kind::kBlockEnd, "%}");
    }
  }

  /// Goes past a tag's end at `end`, whose sign, if any, is the byte before it.
  void close(size_t end, bool trims_line) {
    const char sign = end > at_ ? source_[end - 1] : '\0';
    size_t to = end + 2;
    if (sign == '-') {
      to = after_space(to);
    } else if (sign != '+' && trims_line && to < source_.size() && source_[to] == '\n') {
      ++to;
    }
    move_to(to);
  }

  void read_comment() {
    const size_t end = source_.find("#}", at_);
    if (end == std::string::npos) fail("a comment is not closed; '#}}' is missing");
    close(end, /*trims_line=*/true);
  }

  /// At a byte after "{%": reads "raw %}…{% endraw %}" if it stands there.
  bool read_raw() {
    const size_t word = after_space(at_);
    if (source_.compare(word, 3, "raw") != 0) return false;
    size_t end = after_space(word + 3);
    const bool strips = end < source_.size() && source_[end] == '-';
    if (strips) ++end;
    if (source_.compare(end, 2, "%}") != 0) return false;
    move_to(strips ? after_space(end + 2) : end + 2);
    for (size_t tag = source_.find("{%", at_); tag != std::string::npos; tag = source_.find("{%", tag + 1)) {
      size_t name = tag + 2;
      const char sign =
          name < source_.size() && (source_[name] == '-' || source_[name] == '+') ? source_[name] : '\0';
      name = after_space(name + (sign != '\0' ? 1 : 0));
      if (source_.compare(name, 6, "endraw") != 0) continue;
      size_t close_at = after_space(name + 6);
      if (close_at < source_.size() && (source_[close_at] == '-' || source_[close_at] == '+')) ++close_at;
      if (source_.compare(close_at, 2, "%}") != 0) continue;
      add_text(text_before(tag, sign, /*is_print=*/false));
      move_to(name + 6);
      close(close_at, /*trims_line=*/true);
      return true;
    }
    fail("'raw' is not closed; 'endraw' is missing");
  }

  void read_expression(Kind begin, Kind end, std::string_view closing) {
    add(begin, begin == Kind::kPrintBegin ? "{{" : "{%");
    std::string open;  // brackets
    while (true) {
      move_to(after_space(at_));
      if (at_ >= source_.size()) fail("a tag is not closed; '{}' is missing", closing);
      const bool is_block = end == Kind::kBlockEnd;
      const size_t sign = (here("-") || (is_block && here("+"))) ? 1 : 0;
      if (open.empty() && source_.compare(at_ + sign, 2, closing) == 0) {
        add(end, std::string(closing));
        close(at_ + sign, /*trims_line=*/is_block);
        return;
      }
      read_token(open);
    }
  }

  void read_token(std::string& open) {
    const char c = source_[at_];
    if (is_digit(c)) return read_number();
    if (is_name_byte(c)) {
      size_t end = at_;
      while (end < source_.size() && is_name_byte(source_[end])) ++end;
      add(Kind::kName, source_.substr(at_, end - at_));
      return move_to(end);
    }
    if (c == '\'' || c == '"') return read_string(c);
    for (const char* op : kOperators) {
      if (!here(op)) continue;
      const std::string text = op;
      if (text == "(" || text == "[" || text == "{") open += text;
      if (text == ")" || text == "]" || text == "}") {
        const char wanted = text == ")" ? '(' : text == "]" ? '[' : '{';
        if (open.empty() || open.back() != wanted) fail("'{}' closes nothing", text);
        open.pop_back();
      }
      add(Kind::kOperator, text);
      return move_to(at_ + text.size());
    }
    fail("'{}' cannot stand in an expression", characters(std::string_view(source_).substr(at_, 4)).front());
  }

  void read_string(char quote) {
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) fail("a string is not closed");
    add(Kind::kString,
        unescape(source_.substr(at_ + 1, end - at_ - 1), fmt::format("{}: line {}", name_, line_)));
    move_to(end + 1);
  }

  void read_number() {
    const NumberSpelling number =
        spell_number(std::string_view(source_).substr(at_), at_ > 0 && source_[at_ - 1] == '.');
    add(number.is_float ? Kind::kFloat : Kind::kInteger, std::string(source_.substr(at_, number.length)));
    move_to(at_ + number.length);
  }

  const std::string source_;
  const std::string& name_;
  size_t at_ = 0;
  int line_ = 1;
  std::vector<Token> tokens_;
};

}  // namespace

std::string Token::spelt() const {
  if (kind == Kind::kEnd) return "the end of the template";
  if (kind == Kind::kText) return "text";
  if (kind == Kind::kString) return "the string '" + text + "'";
  return "'" + text + "'";
}

std::vector<Token> tokenize(const std::string& source, const std::string& name) {
  return Lexer(source, name).run();
}

}  // namespace caltrop::jinja
