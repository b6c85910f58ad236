#include "caltrop/base/yaml.h"

#include <cmath>

#include <yaml-cpp/yaml.h>

#include "caltrop/base/error.h"
#include "caltrop/base/files.h"

namespace caltrop {
namespace {

std::string place(const YAML::Mark& mark) {
  return fmt::format("line {}, column {}", mark.line + 1, mark.column + 1);
}

Json scalar(const YAML::Node& node) {
  const std::string& text = node.Scalar();
  if (node.Tag() == "!") return text;  // quoted
  if (text == "true" || text == "True") return true;
  if (text == "false" || text == "False") return false;
  if (text == "null" || text == "~" || text.empty()) return nullptr;
  if (text.find_first_not_of("+-.0123456789eE") == std::string::npos) {
    size_t used = 0;
    try {
      if (text.find_first_of(".eE") == std::string::npos) {
        const int64_t value = std::stoll(text, &used);
        if (used == text.size()) return value;
      } else {
        const double value = std::stod(text, &used);
        if (used == text.size() && std::isfinite(value)) return value;
      }
    } catch (const std::logic_error&) {
      // not a number after all ("1.2.3", "e", or too large): text
    }
  }
  return text;
}

constexpr int kDeepest = 100;  // an alias may name what it stands in

Json convert(const YAML::Node& node, const std::string& source, int depth = 0) {
  if (depth > kDeepest)
    throw UserError("{}: {}: more than {} levels deep", source, place(node.Mark()), kDeepest);
  switch (node.Type()) {
    case YAML::NodeType::Scalar:
      return scalar(node);
    case YAML::NodeType::Sequence: {
      Json list = Json::array();
      for (const YAML::Node& item : node) list.push_back(convert(item, source, depth + 1));
      return list;
    }
    case YAML::NodeType::Map: {
      Json object = Json::object();
      for (const auto& pair : node) {
        if (!pair.first.IsScalar())
          throw UserError("{}: {}: a key is no plain word", source, place(pair.first.Mark()));
        const std::string& key = pair.first.Scalar();
        if (object.contains(key))
          throw UserError("{}: {}: the key '{}' stands twice", source, place(pair.first.Mark()), key);
        object[key] = convert(pair.second, source, depth + 1);
      }
      return object;
    }
    default:
      return nullptr;
  }
}

}  // namespace

Json parse_yaml(const std::string& text, const std::string& source) {
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(text);
    if (documents.size() > 1)
      throw UserError("{}: holds {} documents (a line '---' begins one), want one", source, documents.size());
    return documents.empty() ? Json() : convert(documents.front(), source);
  } catch (const YAML::ParserException& error) {
    throw UserError("{}: {}: not valid YAML ({})", source, place(error.mark), error.msg);
  }
}

Json read_yaml(const std::filesystem::path& path) { return parse_yaml(read_file(path), path.string()); }

Json parse_yaml_value(const std::string& text, const std::string& source) { return parse_yaml(text, source); }

void set_path(Json& spec, const std::string& path, Json value, const std::string& source) {
  Json* at = &spec;
  for (size_t begin = 0;;) {
    const size_t dot = path.find('.', begin);
    const std::string key = path.substr(begin, dot - begin);
    if (key.empty()) throw UserError("{}: '{}' is no path of keys like train.steps", source, path);
    if (at->is_null()) *at = Json::object();
    if (!at->is_object()) throw UserError("{}: '{}' goes through a value, not an object", source, path);
    at = &(*at)[key];
    if (dot == std::string::npos) break;
    begin = dot + 1;
  }
  *at = std::move(value);
}

}  // namespace caltrop
