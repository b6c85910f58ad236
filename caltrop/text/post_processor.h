// The post-processor of a tokenizer.json: the tokens that start and end every text.
//
//   TemplateProcessing   "<|begin_of_text|> $A": its `single` template; texts are never encoded in pairs here
//   ByteLevel            shortens the spans that the reference reports by the spaces in them; no matter here
//   Sequence             one after the other
//
// Tested by tests/text/post_processor_test.cc.
#pragma once

#include <cstdint>
#include <vector>

#include "caltrop/text/component.h"

namespace caltrop {

struct PostProcessor {
  std::vector<int64_t> before, after;

  /// Adds nothing.
  PostProcessor() = default;
  /// Throws UserError for a type that is unknown and a template that names unknown tokens or the text not
  /// just once.
  explicit PostProcessor(const Component& component);

 private:
  void add(const Component& component);
  void add_template(const Component& component);
};

}  // namespace caltrop
