#define PCRE2_CODE_UNIT_WIDTH 8
#include "caltrop/text/regex.h"

#include <cstdint>

#include <pcre2.h>

#include "caltrop/base/error.h"

namespace caltrop {
namespace {

// Work that one match may do before we say that it would never end. The expressions of real tokenizers need a
// few steps a character.
constexpr uint32_t kMatchLimit = 10'000'000;

// Rewrites an expression from Oniguruma's language to PCRE2's, or refuses it; see regex.h.
class Translator {
 public:
  Translator(std::string_view pattern, const std::string& where) : pattern_(pattern), where_(where) {}

  std::string translate() {
    while (at_ < pattern_.size()) {
      const char c = pattern_[at_];
      if (c == '\\') {
        escape();
      } else if (in_class_) {
        class_member(c);
      } else if (c == '(') {
        group();
      } else {
        if (c == '[') open_class();
        if (ahead("}+")) refuse(2);  // possessive in PCRE2, a second repetition in Oniguruma
        const bool lacks_least = at_up_to();
        copy(1);
        if (lacks_least) out_ += '0';
      }
    }
    return std::move(out_);
  }

 private:
  bool ahead(std::string_view text) const { return pattern_.substr(at_).starts_with(text); }

  /// Whether "{,n}" begins here: up to n times, and in PCRE2 before 10.43 these very characters.
  bool at_up_to() const {
    if (!ahead("{,")) return false;
    const size_t first = at_ + 2, end = pattern_.find_first_not_of("0123456789", first);
    return end != std::string_view::npos && end > first && pattern_[end] == '}';
  }

  void copy(size_t count) {
    out_ += pattern_.substr(at_, count);
    at_ += count;
  }

  [[noreturn]] void refuse(size_t length) const {
    throw UserError("{}: the expression has '{}' at offset {}, which Caltrop does not support", where_,
                    pattern_.substr(at_, length), at_);
  }

  void escape() {
    if (at_ + 1 == pattern_.size()) refuse(1);
    const char c = pattern_[at_ + 1];
    if (c == 's' || c == 'S') {
      out_ += c == 's' ? "\\p{White_Space}" : "\\P{White_Space}";
      at_ += 2;
      return;
    }
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (letter && std::string_view("dDpPrntfx").find(c) == std::string_view::npos) refuse(2);
    copy(2);
    const bool may_have_braces = c == 'p' || c == 'P' || c == 'x';  // round a property or a number
    const size_t end = pattern_.find('}', at_);
    if (may_have_braces && ahead("{") && end != std::string_view::npos) copy(end + 1 - at_);
  }

  void open_class() {
    in_class_ = true;
    class_start_ = at_ + (ahead("[^") ? 2 : 1);
  }

  void class_member(char c) {
    if (c == '[') refuse(ahead("[:") ? 2 : 1);
    if (ahead("&&")) refuse(2);
    if (c == ']' && at_ > class_start_) in_class_ = false;
    copy(1);
  }

  void group() {
    if (ahead("(*")) refuse(2);
    if (ahead("(?")) {
      size_t length = 0;
      for (const std::string_view known : {"(?:", "(?i:", "(?>", "(?=", "(?!", "(?<=", "(?<!"}) {
        if (ahead(known)) length = known.size();
      }
      if (length == 0) refuse(3);
      copy(length);
    } else {
      copy(1);
    }
  }

  std::string_view pattern_;
  const std::string& where_;
  std::string out_;
  size_t at_ = 0;
  bool in_class_ = false;
  size_t class_start_ = 0;  // offset of the first member
};

std::string message_of(int error) {
  PCRE2_UCHAR text[256];
  pcre2_get_error_message(error, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

// What a thread needs to match: where the last match lies, limits, and a stack for the compiled code.
struct Workspace {
  Workspace() {
    pcre2_set_match_limit(context, kMatchLimit);
    pcre2_jit_stack_assign(context, nullptr, stack);
  }
  ~Workspace() {
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    pcre2_jit_stack_free(stack);
  }
  pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  pcre2_jit_stack* stack = pcre2_jit_stack_create(32 << 10, 16 << 20, nullptr);
};

}  // namespace

Regex::Regex(std::string_view pattern, const std::string& where) : where_(where) {
  const std::string translated = Translator(pattern, where).translate();
  int error = 0;
  size_t offset = 0;
  pcre2_code* const code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                                         PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
                                         &error, &offset, nullptr);
  if (code == nullptr) {
    throw UserError("{}: not a regular expression: {}, at offset {} of {}", where, message_of(error), offset,
                    translated);
  }
  code_ = {code, [](const void* c) { pcre2_code_free(static_cast<pcre2_code*>(const_cast<void*>(c))); }};
  is_compiled_ = pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) == 0;
}

Regex Regex::literally(std::string_view text, const std::string& where) {
  std::string pattern;
  for (const char c : text) {
    if (std::string_view("\\^$.[]|()?*+{}").find(c) != std::string_view::npos) pattern += '\\';
    pattern += c;
  }
  return Regex(pattern, where);
}

std::optional<Span> Regex::find(std::string_view text, size_t from) const {
  static thread_local Workspace workspace;
  const auto match = is_compiled_ ? pcre2_jit_match : pcre2_match;
  const int found =
      match(static_cast<const pcre2_code*>(code_.get()), reinterpret_cast<PCRE2_SPTR>(text.data()),
            text.size(), from, PCRE2_NO_UTF_CHECK, workspace.data, workspace.context);
  if (found == PCRE2_ERROR_NOMATCH) return std::nullopt;
  if (found < 0) {
    throw UserError("{}: the expression gave up on a text, looking from byte {}: {}", where_, from,
                    message_of(found));
  }
  const size_t* const ends = pcre2_get_ovector_pointer(workspace.data);
  return Span{ends[0], ends[1]};
}

}  // namespace caltrop
