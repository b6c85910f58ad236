#include "caltrop/text/normalizer.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <utility>

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

// Characters with a decomposition or a combining class that came after Unicode 9, whose tables the reference has: to it
// they are plain characters, which stay and which marks do not pass. Found by asking it about every character of Unicode
// 14 (and U+11930, which one of them decomposes to).
constexpr std::pair<char32_t, char32_t> kNewerThanReference[] = {
    {0x07FD, 0x07FD},   {0x0898, 0x089F},   {0x08CA, 0x08D3},   {0x09FE, 0x09FE},   {0x0C3C, 0x0C3C},
    {0x0D3B, 0x0D3C},   {0x0EBA, 0x0EBA},   {0x1715, 0x1715},   {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFA},
    {0x32FF, 0x32FF},   {0xA7F2, 0xA7F4},   {0xA82C, 0xA82C},   {0xAB69, 0xAB69},   {0x10781, 0x10785},
    {0x10787, 0x107B0}, {0x107B2, 0x107BA}, {0x10D24, 0x10D27}, {0x10EAB, 0x10EAC}, {0x10F46, 0x10F50},
    {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x1133B, 0x1133B}, {0x1145E, 0x1145E}, {0x11839, 0x1183A},
    {0x11930, 0x11930}, {0x11938, 0x11938}, {0x1193D, 0x1193E}, {0x11943, 0x11943}, {0x119E0, 0x119E0},
    {0x11A34, 0x11A34}, {0x11A47, 0x11A47}, {0x11A99, 0x11A99}, {0x11D42, 0x11D42}, {0x11D44, 0x11D45},
    {0x11D97, 0x11D97}, {0x16FF0, 0x16FF1}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF},
    {0x1F16C, 0x1F16C}, {0x1FBF0, 0x1FBF9},
};

bool is_newer_than_reference(char32_t c) {
  const auto* const range =
      std::partition_point(std::begin(kNewerThanReference), std::end(kNewerThanReference),
                           [c](const auto& r) { return r.second < c; });
  return range != std::end(kNewerThanReference) && range->first <= c;
}

// Whether the character stays as it is in every normal form, and what follows it cannot change what comes before it.
bool is_fixed(std::string_view text, size_t at) {
  return is_ascii(text[at]) || is_newer_than_reference(decode_utf8(text, at));
}

// End of the shortest run of characters from `begin` on that can be normalised on its own: the next character
// does not change what comes before it, nor is it changed by that.
size_t end_of_group(std::string_view text, size_t begin, int form) {
  size_t end = begin + utf8_length(text[begin]);
  while (end < text.size()) {
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

// The next stretch of text that could change: a run of characters that are not fixed, and the one of ASCII before them,
// which they may combine with.
Span next_stretch(std::string_view text, size_t from) {
  size_t begin = from;
  while (begin < text.size() && is_fixed(text, begin)) begin += utf8_length(text[begin]);
  size_t end = begin;
  while (end < text.size() && !is_fixed(text, end)) end += utf8_length(text[end]);
  if (begin > from && begin < end && is_ascii(text[begin - 1])) --begin;
  return {begin, end};
}

AlignedText normalise(AlignedText text, int form) {
  const std::string_view from = text.view();
  std::string to;
  std::vector<Span> origins;
  size_t done = 0;  // so many bytes of `from` are in `to`
  const auto keep_until = [&](size_t end) {
    to += from.substr(done, end - done);
    for (; done < end; ++done) origins.push_back(text.origin({done, done + 1}));
  };
  for (Span stretch = next_stretch(from, 0); stretch.size() > 0; stretch = next_stretch(from, stretch.end)) {
    const std::string_view before = from.substr(stretch.begin, stretch.size());
    const std::string after = normal_form(before, form);
    if (after == before) continue;
    keep_until(stretch.begin);
    while (done < stretch.end) {
      const size_t end = end_of_group(from.substr(0, stretch.end), done, form);
      const std::string_view group = from.substr(done, end - done);
      const std::string changed = normal_form(group, form);
      if (changed == group) {
        keep_until(end);
      } else {
        to += changed;
        origins.insert(origins.end(), changed.size(), text.origin({done, end}));
        done = end;
      }
    }
    CALTROP_ASSERT(to.ends_with(after), "the parts of a text are normalised otherwise than the whole");
  }
  if (done == 0) return text;
  keep_until(from.size());
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
