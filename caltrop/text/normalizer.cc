#include "caltrop/text/normalizer.h"

#include <algorithm>
#include <cstdlib>
#include <memory>

#include <utf8proc.h>

#include "caltrop/text/utf8.h"

namespace caltrop {
namespace {

std::string normal_form(std::string_view text, int form) {
  utf8proc_uint8_t* out = nullptr;
  const auto size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                   static_cast<utf8proc_ssize_t>(text.size()), &out, static_cast<utf8proc_option_t>(form));
  const std::unique_ptr<utf8proc_uint8_t, void (*)(void*)> owner(out, std::free);
  CALTROP_ASSERT(size >= 0, "utf8proc: {}", utf8proc_errmsg(size));
  return {reinterpret_cast<const char*>(out), static_cast<size_t>(size)};
}

bool is_ascii(char byte) { return static_cast<unsigned char>(byte) < 0x80; }

// End of the shortest run of characters from `begin` on that can be normalised on its own: the next character
// does not change what comes before it, nor is it changed by that.
size_t end_of_group(std::string_view text, size_t begin, int form) {
  size_t end = begin + utf8_length(text[begin]);
  while (end < text.size() && !is_ascii(text[end])) {
    const std::string_view group = text.substr(begin, end - begin);
    const std::string_view next = text.substr(end, utf8_length(text[end]));
    const std::string alone = normal_form(next, form);
    const bool starts_with_mark =
        !alone.empty() &&
        utf8proc_get_property(static_cast<utf8proc_int32_t>(decode_utf8(alone, 0)))->combining_class != 0;
    const std::string_view both = text.substr(begin, group.size() + next.size());
    if (!starts_with_mark && normal_form(both, form) == normal_form(group, form) + alone) break;
    end += next.size();
  }
  return end;
}

AlignedText normalise(AlignedText text, int form) {
  const std::string_view from = text.view();
  if (std::all_of(from.begin(), from.end(), is_ascii)) return text;
  const std::string whole = normal_form(from, form);
  if (whole == from) return text;

  std::string to;
  std::vector<Span> origins;
  for (size_t begin = 0; begin < from.size();) {
    const size_t end = end_of_group(from, begin, form);
    const std::string_view group = from.substr(begin, end - begin);
    const std::string changed = normal_form(group, form);
    for (size_t i = 0; i < changed.size(); ++i) {
      origins.push_back(changed == group ? text.origin({begin + i, begin + i + 1})
                                         : text.origin({begin, end}));
    }
    to += changed;
    begin = end;
  }
  CALTROP_ASSERT(to == whole, "the parts of a text are normalised otherwise than the whole");
  return {std::move(to), std::move(origins)};
}

}  // namespace

Normalizer::Normalizer(const Component& component) { add(component); }

void Normalizer::add(const Component& component) {
  const std::string type = component.type();
  if (type == "Sequence") {
    component.only({"normalizers"});
    for (const Component& member : component.members("normalizers")) add(member);
    return;
  }
  constexpr int kCompose = UTF8PROC_STABLE | UTF8PROC_COMPOSE;
  constexpr int kDecompose = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE;
  if (type == "NFC") {
    forms_.push_back(kCompose);
  } else if (type == "NFD") {
    forms_.push_back(kDecompose);
  } else if (type == "NFKC") {
    forms_.push_back(kCompose | UTF8PROC_COMPAT);
  } else if (type == "NFKD") {
    forms_.push_back(kDecompose | UTF8PROC_COMPAT);
  } else {
    throw component.unknown_type({"NFC", "NFD", "NFKC", "NFKD", "Sequence"});
  }
  component.only({});
}

AlignedText Normalizer::apply(AlignedText text) const {
  for (const int form : forms_) text = normalise(std::move(text), form);
  return text;
}

}  // namespace caltrop
