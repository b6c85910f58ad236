// One component of a tokenizer.json while it is read: a JSON object that knows its place in the file.
//
// Every reader here says which types and which options it knows, and anything else in the file is an error
// that names it: a component that is skipped gives ids that are wrong without a sign. Tested by the tests of
// each component.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "caltrop/base/error.h"
#include "caltrop/base/json.h"

namespace caltrop {

class Component {
 public:
  /// `what` is the kind in words ("pre-tokenizer"), `place` the path to it
  /// ("pre_tokenizer.pretokenizers[0]"). Throws UserError if `json` is not an object.
  Component(const Json& json, std::string source, std::string what, std::string place);

  const Json& json() const { return *json_; }
  /// "<source>: <place>", which starts every error.
  std::string where() const;
  const std::string& source() const { return source_; }
  const std::string& place() const { return place_; }

  std::string type() const { return required<std::string>(*json_, "type", where()); }
  /// The error for a type that is not among `known`.
  UserError unknown_type(const std::vector<std::string>& known) const;
  /// Throws UserError for a key that is neither "type" nor in `known`.
  void only(const std::vector<std::string>& known) const;

  std::string text(const std::string& key) const { return required<std::string>(*json_, key, where()); }
  bool flag(const std::string& key) const { return required<bool>(*json_, key, where()); }
  bool flag(const std::string& key, bool fallback) const {
    return optional<bool>(*json_, key, where(), fallback);
  }

  /// The members of the list `key`, each as a component of the same kind. Throws UserError if it is not a
  /// list.
  std::vector<Component> members(const std::string& key) const;

 private:
  const Json* json_;
  std::string source_, what_, place_;
};

}  // namespace caltrop
