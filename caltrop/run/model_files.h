// The files of a model folder besides its weights, carried along when a stage writes a changed model.
#pragma once

#include <filesystem>

#include "caltrop/base/json.h"
#include "caltrop/io/model_folder.h"

namespace caltrop {

/// generation_config.json of the folder; null if there is none.
Json generation_config(const std::filesystem::path& folder);

/// tokenizer.json, tokenizer_config.json and whatever else of text a tokenizer or chat template consists of.
TextFiles text_files(const std::filesystem::path& folder);

}  // namespace caltrop
