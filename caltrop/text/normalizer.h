// The normalizer of a tokenizer.json: Unicode normal forms, by utf8proc. Tested by
// tests/text/normalizer_test.cc.
#pragma once

#include <string>
#include <vector>

#include "caltrop/text/aligned_text.h"
#include "caltrop/text/component.h"

namespace caltrop {

/// Immutable; any number of threads may use one at a time.
class Normalizer {
 public:
  /// Changes nothing.
  Normalizer() = default;
  /// Throws UserError for a type that is unknown.
  explicit Normalizer(const Component& component);

  /// REQUIRES valid UTF-8. Bytes of characters that the normal form leaves alone keep their own origin.
  AlignedText apply(AlignedText text) const;

 private:
  void add(const Component& component);
  std::vector<int> forms_;  // options of utf8proc, one normal form each, applied in order
};

}  // namespace caltrop
