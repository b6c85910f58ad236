#include "caltrop/data/example.h"

#include <algorithm>

namespace caltrop {

std::string Example::prompt() const {
  for (auto message = messages.rbegin(); message != messages.rend(); ++message) {
    if (message->role == "user") return message->content;
  }
  return "";
}

std::string Example::response() const { return has_response() ? messages.back().content : ""; }

std::vector<Example> spread(const std::vector<Example>& examples, int64_t limit) {
  const auto all = static_cast<int64_t>(examples.size()), count = std::min(limit, all);
  std::vector<Example> chosen;
  for (int64_t i = 0; i < count; ++i) chosen.push_back(examples[static_cast<size_t>(i * all / count)]);
  return chosen;
}

}  // namespace caltrop
