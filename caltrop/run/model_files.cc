#include "caltrop/run/model_files.h"

#include "caltrop/base/files.h"

namespace caltrop {

namespace fs = std::filesystem;

TextFiles text_files(const fs::path& folder) {
  TextFiles files;
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                           "added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja"}) {
    if (fs::exists(folder / name)) files.emplace_back(name, read_file(folder / name));
  }
  return files;
}

void add_text_hashes(const fs::path& folder, Json& inputs) {
  for (const auto& [name, text] : text_files(folder)) inputs[(folder / name).string()] = sha256(text);
  const fs::path generation = folder / "generation_config.json";
  if (fs::exists(generation)) inputs[generation.string()] = sha256_file(generation);
}

}  // namespace caltrop
