#include "caltrop/data/source.h"

#include <algorithm>
#include <filesystem>
#include <functional>

#include "caltrop/base/error.h"
#include "caltrop/base/files.h"

namespace caltrop {
namespace {

namespace fs = std::filesystem;

/// A row, the field map, and its place in the file.
struct Row {
  const Json& json;
  const Json& names;
  std::string where;

  /// The name that the file has for our `field`.
  std::string name(const std::string& field) const { return names.value(field, field); }
  bool has(const std::string& field) const {
    const auto found = json.find(name(field));
    return found != json.end() && !found->is_null();
  }
  const Json& at(const std::string& field) const { return json.at(name(field)); }
};

std::string shown(const Json& value) {
  std::string text = to_line(value);
  if (text.size() > 60) {
    text.resize(57);
    while ((static_cast<unsigned char>(text.back()) & 0xC0) == 0x80) text.pop_back();  // not half a character
    if (static_cast<unsigned char>(text.back()) >= 0xC0) text.pop_back();
    text += "…";
  }
  return text;
}

std::string fields_of(const Json& row) {
  std::vector<std::string> names;
  for (const auto& [key, value] : row.items()) names.push_back(key);
  return names.empty() ? "no fields" : "the fields " + join(names);
}

std::string text_of(const Row& row, const std::string& field, const std::string& form) {
  if (!row.has(field))
    throw UserError("{}: got {}, want '{}' ({})", row.where, fields_of(row.json), row.name(field), form);
  if (!row.at(field).is_string()) {
    throw UserError("{}: got '{}': {}, want a string", row.where, row.name(field), shown(row.at(field)));
  }
  return row.at(field).get<std::string>();
}

/// A non-empty text: an empty prompt or answer is a hole in the data.
std::string said(const Row& row, const std::string& field, const std::string& form) {
  std::string text = text_of(row, field, form);
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) {
    throw UserError("{}: got an empty '{}', want text", row.where, row.name(field));
  }
  return text;
}

using Messages = std::vector<Message>;

Messages read_prompt_response(const Row& row) {
  Messages messages{{"user", said(row, "prompt", "prompt_response")}};
  if (row.has("response")) messages.push_back({"assistant", said(row, "response", "prompt_response")});
  return messages;
}

Messages read_beavertails(const Row& row) {
  return {{"user", said(row, "prompt", "beavertails")}, {"assistant", said(row, "response", "beavertails")}};
}

Messages read_alpaca(const Row& row) {
  std::string prompt = said(row, "instruction", "alpaca");
  const std::string input = row.has("input") ? text_of(row, "input", "alpaca") : "";
  if (!input.empty()) prompt += "\n\n" + input;
  Messages messages{{"user", std::move(prompt)}};
  if (row.has("output")) messages.push_back({"assistant", said(row, "output", "alpaca")});
  return messages;
}

Messages read_text(const Row& row) { return {{"user", said(row, "text", "text")}}; }

Messages read_messages(const Row& row) {
  if (!row.has("messages")) {
    throw UserError("{}: got {}, want '{}' (messages)", row.where, fields_of(row.json), row.name("messages"));
  }
  Messages messages = messages_from_json(row.at("messages"), row.where);
  for (const Message& message : messages) {
    if (message.role != "system" && message.role != "user" && message.role != "assistant") {
      throw UserError("{}: got the role '{}', want system, user or assistant", row.where, message.role);
    }
  }
  if (messages.empty() || messages.back().role == "system") {
    throw UserError("{}: got {}, want messages that end with the user's or the assistant's", row.where,
                    messages.empty() ? "no messages" : "a system message at the end");
  }
  return messages;
}

struct Form {
  std::string name;
  std::vector<std::string> tells;  // the fields that show a row to be of this form
  std::vector<std::string> uses;   // ours; all others are extra
  Messages (*read)(const Row&);
};

// In the order in which `auto` tries them.
const std::vector<Form>& forms() {
  static const std::vector<Form> kForms = {
      {"messages", {"messages"}, {"messages"}, read_messages},
      {"beavertails", {"prompt", "response", "is_safe"}, {"prompt", "response"}, read_beavertails},
      {"alpaca", {"instruction"}, {"instruction", "input", "output"}, read_alpaca},
      {"prompt_response", {"prompt"}, {"prompt", "response"}, read_prompt_response},
      {"kitchen", {"prompt"}, {"prompt", "response"}, read_prompt_response},
      {"text", {"text"}, {"text"}, read_text},
  };
  return kForms;
}

const Form& form_of(const std::string& format, const Row& first) {
  for (const Form& form : forms()) {
    if (format == form.name) return form;
    if (format == "auto" && std::all_of(form.tells.begin(), form.tells.end(),
                                        [&](const std::string& field) { return first.has(field); })) {
      return form;
    }
  }
  std::vector<std::string> wanted;
  for (const Form& form : forms()) {
    if (form.name != "kitchen") wanted.push_back(form.name + " {" + join(form.tells) + "}");
  }
  throw UserError(
      "{}: got {}, want those of one of the forms: {}; if yours have other names, say so in 'fields', as in "
      "{{\"prompt\": \"question\"}}",
      first.where, fields_of(first.json), join(wanted));
}

/// A text, or BeaverTails' object of flags: the first that is set.
std::string category_of(const Row& row) {
  if (!row.has("category")) return "";
  const Json& category = row.at("category");
  if (category.is_string()) return category.get<std::string>();
  if (!category.is_object()) {
    throw UserError("{}: got '{}': {}, want a string or an object of true and false", row.where,
                    row.name("category"), shown(category));
  }
  for (const auto& [name, flag] : category.items()) {
    if (!flag.is_boolean())
      throw UserError("{}: got category '{}': {}, want true or false", row.where, name, shown(flag));
    if (flag.get<bool>()) return name;
  }
  return "";
}

Example read_example(const Row& row, const Form& form, std::string fallback_id) {
  Example example;
  example.messages = form.read(row);
  example.category = category_of(row);
  example.id = std::move(fallback_id);
  if (row.has("id"))
    example.id = row.at("id").is_string() ? row.at("id").get<std::string>() : to_line(row.at("id"));
  for (const auto& [key, value] : row.json.items()) {
    const bool used = std::any_of(form.uses.begin(), form.uses.end(),
                                  [&](const std::string& field) { return row.name(field) == key; });
    if (!used && key != row.name("category") && key != row.name("id")) example.extra[key] = value;
  }
  return example;
}

/// Whether the row has, for every field of the filter, the value or one of the values wanted. The field "category" is
/// what the example's category is; others are the file's own.
bool passes(const Row& row, const Example& example, const Json& filter) {
  for (const auto& [field, wanted] : filter.items()) {
    Json value;
    if (field == "category") {
      value = example.category;
    } else if (const auto found = row.json.find(field); found != row.json.end()) {
      value = *found;
    } else {
      throw UserError("{}: got {}, want '{}', which the filter asks for", row.where, fields_of(row.json),
                      field);
    }
    const bool is_wanted =
        wanted.is_array() ? std::find(wanted.begin(), wanted.end(), value) != wanted.end() : value == wanted;
    if (!is_wanted) return false;
  }
  return true;
}

/// Calls `read` for each row with the number of its line, or of its place in a list.
void for_each_row(const fs::path& path, const std::function<void(const Json&, int64_t)>& read) {
  if (path.extension() != ".json") return read_json_lines(path, read);
  const Json list = read_json(path);
  if (!list.is_array()) {
    throw UserError("{}: got {}, want a list of rows; one object a line is a .jsonl file", path.string(),
                    shown(list));
  }
  int64_t number = 0;
  for (const Json& row : list) read(row, ++number);
}

/// Names of the field map are ours on the left.
void check_names(const Json& names, const std::string& who) {
  static const std::vector<std::string> kFields = {"prompt",      "response", "category", "id",   "messages",
                                                   "instruction", "input",    "output",   "text", "is_safe"};
  for (const auto& [ours, theirs] : names.items()) {
    if (std::find(kFields.begin(), kFields.end(), ours) == kFields.end()) {
      throw unknown_name(who + ": option 'fields'", "field", ours, kFields);
    }
    if (!theirs.is_string()) {
      throw UserError("{}: option 'fields': '{}' is {}, want the name of a field of the file", who, ours,
                      shown(theirs));
    }
  }
}

}  // namespace

LoadedSource load_examples(const SourceSpec& spec, const std::string& who) {
  if (spec.path.empty()) throw UserError("{}: option 'path' is empty, want a .jsonl or .json file", who);
  check_names(spec.fields_map, who);
  const fs::path path = spec.path;
  LoadedSource source;
  const Form* form = nullptr;
  for_each_row(path, [&](const Json& json, int64_t number) {
    const Row row{json, spec.fields_map, fmt::format("{}:{}", path.string(), number)};
    if (!json.is_object()) throw UserError("{}: got {}, want an object", row.where, shown(json));
    if (form == nullptr) form = &form_of(spec.format, row);
    ++source.rows_read;
    Example example = read_example(row, *form, fmt::format("{}:{}", path.filename().string(), number));
    const bool is_full = spec.limit > 0 && static_cast<int64_t>(source.examples.size()) >= spec.limit;
    if (passes(row, example, spec.filter) && !is_full) source.examples.push_back(std::move(example));
  });
  if (source.rows_read == 0) throw UserError("{}: {} holds no rows", who, path.string());
  if (source.examples.empty()) {
    throw UserError("{}: none of the {} rows of {} passes the filter {}", who, source.rows_read,
                    path.string(), to_line(spec.filter));
  }
  source.sha256 = sha256_file(path);
  return source;
}

}  // namespace caltrop
