// A text that was changed on its way to the model, and remembers where each byte came from.
//
// Almost every text is not changed at all, and then nothing is stored: byte i of the part came from byte
// offset + i.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "caltrop/text/span.h"

namespace caltrop {

class AlignedText {
 public:
  /// A part of the original text, unchanged, that starts at its byte `offset`. `part` must outlive this.
  AlignedText(std::string_view part, size_t offset) : part_(part), offset_(offset) {}
  /// A changed text; `origins` has one span of the original text for each byte.
  AlignedText(std::string text, std::vector<Span> origins)
      : changed_(std::move(text)), origins_(std::move(origins)), is_changed_(true) {}

  std::string_view view() const { return is_changed_ ? std::string_view(changed_) : part_; }

  /// The bytes of the original text that `span` came from.
  Span origin(Span span) const {
    if (!is_changed_) return {offset_ + span.begin, offset_ + span.end};
    if (span.size() == 0) {
      const size_t at = span.begin < origins_.size() ? origins_[span.begin].begin : end_of_last();
      return {at, at};
    }
    return {origins_[span.begin].begin, origins_[span.end - 1].end};
  }

  /// The bytes `span` of this text as a text of their own.
  AlignedText part(Span span) const {
    const std::string_view bytes = view().substr(span.begin, span.size());
    if (!is_changed_) return {bytes, offset_ + span.begin};
    return {std::string(bytes), std::vector<Span>(origins_.begin() + static_cast<std::ptrdiff_t>(span.begin),
                                                  origins_.begin() + static_cast<std::ptrdiff_t>(span.end))};
  }

 private:
  size_t end_of_last() const { return origins_.empty() ? 0 : origins_.back().end; }

  std::string_view part_;
  size_t offset_ = 0;
  std::string changed_;
  std::vector<Span> origins_;
  bool is_changed_ = false;
};

}  // namespace caltrop
