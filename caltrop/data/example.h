// One conversation to train, attack or test with. Tested by tests/data/source_test.cc.
#pragma once

#include <string>
#include <vector>

#include "caltrop/base/json.h"
#include "caltrop/text/chat.h"

namespace caltrop {

struct Example {
  std::vector<Message>
      messages;          // ends with the assistant's answer, or with the user's turn if it is a prompt alone
  std::string category;  // empty if the source has none
  std::string id;        // the row's own "id", or "<file name>:<line>"
  Json extra = Json::object();  // the row's other fields, as they were: "split", "is_safe", …

  bool has_response() const { return !messages.empty() && messages.back().role == "assistant"; }
  /// What the last user turn says; empty if there is none.
  std::string prompt() const;
  /// What the assistant answers to it; empty if has_response() is false.
  std::string response() const;
};

/// `limit` of the examples at most, spread evenly over the list, so that every category has its share.
std::vector<Example> spread(const std::vector<Example>& examples, int64_t limit);

}  // namespace caltrop
