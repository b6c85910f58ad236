#include "caltrop/text/post_processor.h"

namespace caltrop {
namespace {

std::vector<int64_t> ids_of_special_token(const Json& special_tokens, const std::string& name,
                                          const std::string& where) {
  const Json token = required<Json>(special_tokens, name, where + ".special_tokens");
  const Json ids = required<Json>(token, "ids", where + ".special_tokens." + name);
  std::vector<int64_t> out;
  for (const Json& id : ids) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0) {
      throw UserError("{}.special_tokens.{}: {} is no token id", where, name, to_line(id));
    }
    out.push_back(id.get<int64_t>());
  }
  return out;
}

}  // namespace

PostProcessor::PostProcessor(const Component& component) { add(component); }

void PostProcessor::add(const Component& component) {
  const std::string type = component.type();
  if (type == "Sequence") {
    component.only({"processors"});
    for (const Component& member : component.members("processors")) add(member);
  } else if (type == "ByteLevel") {
    component.only({"add_prefix_space", "trim_offsets", "use_regex"});
  } else if (type == "TemplateProcessing") {
    add_template(component);
  } else {
    throw component.unknown_type({"TemplateProcessing", "ByteLevel", "Sequence"});
  }
}

void PostProcessor::add_template(const Component& component) {
  component.only({"single", "pair", "special_tokens"});
  const Json pieces = required<Json>(component.json(), "single", component.where());
  const Json special_tokens = required<Json>(component.json(), "special_tokens", component.where());
  if (!pieces.is_array())
    throw UserError("{}: 'single' is {}, want a list of pieces", component.where(), to_line(pieces));
  std::vector<int64_t> left, right;
  int texts = 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const std::string where = fmt::format("{}.single[{}]", component.where(), i);
    const Json& piece = pieces[i];
    if (piece.is_object() && piece.contains("SpecialToken")) {
      const auto name = required<std::string>(piece["SpecialToken"], "id", where + ".SpecialToken");
      for (const int64_t id : ids_of_special_token(special_tokens, name, component.where())) {
        (texts == 0 ? left : right).push_back(id);
      }
    } else if (piece.is_object() && piece.contains("Sequence")) {
      const auto name = required<std::string>(piece["Sequence"], "id", where + ".Sequence");
      if (name != "A") throw UserError("{}: the text of a single template is 'A', not '{}'", where, name);
      ++texts;
    } else {
      throw UserError("{}: Caltrop knows no piece {}; it knows: SpecialToken, Sequence", where,
                      to_line(piece));
    }
  }
  if (texts != 1)
    throw UserError("{}.single: the text 'A' stands here {} times, want once", component.where(), texts);
  // A template around another: its tokens go outside.
  before.insert(before.begin(), left.begin(), left.end());
  after.insert(after.end(), right.begin(), right.end());
}

}  // namespace caltrop
