// The files of a model folder besides its weights, carried along when a stage writes a changed model.
#pragma once

#include <filesystem>

#include "caltrop/base/json.h"
#include "caltrop/io/model_folder.h"

namespace caltrop {

/// Adds path -> SHA-256 of each text file of the folder that a run reads, generation_config.json too. What identifies a run
/// (`spec_hash`) holds the weights and config.json; these are inputs that a resumed run must find unchanged.
void add_text_hashes(const std::filesystem::path& folder, Json& inputs);

/// tokenizer.json, tokenizer_config.json and whatever else of text a tokenizer or chat template consists of.
TextFiles text_files(const std::filesystem::path& folder);

}  // namespace caltrop
