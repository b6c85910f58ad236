// Models in: a GGUF file or a Hugging Face folder becomes a Hugging Face folder that this program,
// transformers, vLLM and lm_eval load. Tested by tests/run/import_test.cc and tools/compare_gguf_import.py.
#pragma once

#include <filesystem>
#include <string>

namespace caltrop {

/// `source`: a .gguf file, or a folder of a supported architecture (its weights are then checked and written
/// anew: fp32, one naming, safetensors). Writes `out` whole or not at all. `format`, if not empty, is one of
/// chat_formats() and becomes its chat template. Throws UserError.
void import_model(const std::filesystem::path& source, const std::filesystem::path& out,
                  const std::string& format = "");

/// What a model folder is, in lines for people: architecture, sizes, parameters, tokenizer, hash. Warns where model and
/// tokenizer do not fit together.
std::string describe_model(const std::filesystem::path& folder);

}  // namespace caltrop
