#include "caltrop/text/component.h"

#include <algorithm>

namespace caltrop {

Component::Component(const Json& json, std::string source, std::string what, std::string place)
    : json_(&json), source_(std::move(source)), what_(std::move(what)), place_(std::move(place)) {
  if (!json.is_object()) throw UserError("{}: a {} is {}, want an object", where(), what_, json.type_name());
}

std::string Component::where() const { return source_ + ": " + place_; }

UserError Component::unknown_type(const std::vector<std::string>& known) const {
  return UserError("{}: Caltrop knows no {} of type '{}'; it knows: {}", where(), what_, type(), join(known));
}

void Component::only(const std::vector<std::string>& known) const {
  for (const auto& [key, value] : json_->items()) {
    if (key != "type" && std::find(known.begin(), known.end(), key) == known.end()) {
      throw UserError("{}: Caltrop knows no option '{}' here; it knows: {}", where(), key, join(known));
    }
  }
}

std::vector<Component> Component::members(const std::string& key) const {
  const auto list = json_->find(key);
  if (list == json_->end() || !list->is_array()) throw UserError("{}: '{}' is not a list", where(), key);
  std::vector<Component> members;
  for (size_t i = 0; i < list->size(); ++i) {
    members.emplace_back((*list)[i], source_, what_, fmt::format("{}.{}[{}]", place_, key, i));
  }
  return members;
}

}  // namespace caltrop
