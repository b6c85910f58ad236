#include "caltrop/run/model_files.h"

#include <algorithm>

#include "caltrop/base/files.h"

namespace caltrop {
namespace {

namespace fs = std::filesystem;

void add_ids(const Json& json, std::vector<int64_t>& ids) {
  if (!json.is_object() || !json.contains("eos_token_id")) return;
  const Json& value = json["eos_token_id"];
  const auto add = [&](const Json& id) {
    if (id.is_number_integer() && std::find(ids.begin(), ids.end(), id.get<int64_t>()) == ids.end())
      ids.push_back(id.get<int64_t>());
  };
  if (value.is_array()) {
    for (const Json& id : value) add(id);
  } else {
    add(value);
  }
}

}  // namespace

Json generation_config(const fs::path& folder) {
  const fs::path path = folder / "generation_config.json";
  return fs::exists(path) ? read_json(path) : Json();
}

TextFiles text_files(const fs::path& folder) {
  TextFiles files;
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                           "added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja"}) {
    if (fs::exists(folder / name)) files.emplace_back(name, read_file(folder / name));
  }
  return files;
}

std::vector<int64_t> end_ids(const fs::path& folder, const Json& config) {
  std::vector<int64_t> ids;
  add_ids(generation_config(folder), ids);
  add_ids(config, ids);
  return ids;
}

}  // namespace caltrop
