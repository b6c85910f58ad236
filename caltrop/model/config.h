// What a decoder is made of, read from config.json by its family (families/<name>.cc).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "caltrop/base/json.h"
#include "caltrop/tensor/tensor.h"

namespace caltrop {

class ModelFolder;

struct ModelConfig {
  int64_t vocabulary = 0;   // V
  int64_t width = 0;        // D, of the residual stream
  int64_t inner_width = 0;  // F, of the MLP
  int64_t layers = 0;       // L
  int64_t heads = 0;        // H
  int64_t kv_heads = 0;     // K, divides H
  int64_t head_width = 0;   // E, even
  int64_t context = 0;      // longest sequence that the positions were trained for
  double norm_epsilon = 0;
  bool tied = false;                        // the head is the embedding
  std::vector<double> inverse_frequencies;  // [E/2], rotary, with whatever scaling the family applies
  std::vector<int64_t> end_ids;             // tokens that end an answer, as config.json has them
  Json source;  // config.json as it was read; written back with another dtype at most
};

/// An architecture: one file in model/families, listed by the build.
struct FamilyEntry {
  const char* name;
  std::vector<std::string> architectures;  // names in config.json's "architectures"
  ModelConfig (*read)(const Json& config, const std::string& where);  // throws UserError
};

/// All families, from the file names in model/families.
std::vector<const FamilyEntry*> families();

/// The config by its family. Throws UserError for an unknown architecture, listing the known ones.
ModelConfig read_model_config(const Json& config, const std::string& where);

/// "eos_token_id" of config.json or generation_config.json: an id or a list of them, none if it is missing or null. Throws
/// UserError "<where>: …".
std::vector<int64_t> read_end_ids(const Json& config, const std::string& where);

/// The config of a model folder: end_ids are those of config.json and of generation_config.json, which often has more.
ModelConfig read_model_config(const ModelFolder& folder);

struct ParameterShape {
  std::string name;
  std::vector<int64_t> shape;
};

/// Every parameter in Hugging Face's naming, in the order of the forward pass.
std::vector<ParameterShape> parameter_shapes(const ModelConfig& config);

}  // namespace caltrop
