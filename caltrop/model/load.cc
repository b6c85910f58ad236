#include <algorithm>
#include <cmath>
#include <fstream>
#include <set>

#include <fmt/ranges.h>

#include <ATen/ATen.h>
#include <ATen/Context.h>

#include "caltrop/base/error.h"
#include "caltrop/io/model_folder.h"
#include "caltrop/model/model.h"

namespace caltrop {
namespace {

std::string shape_text(at::IntArrayRef shape) {
  return fmt::format("[{}]", fmt::join(shape.begin(), shape.end(), ","));
}

at::Device choose_device(const std::string& name) {
  if (name == "auto") return at::Device(at::hasCUDA() ? at::kCUDA : at::kCPU);
  try {
    const at::Device device(name);
    if (device.is_cuda() && !at::hasCUDA())
      throw UserError("device: '{}' was asked for, but this torch finds no GPU", name);
    return device;
  } catch (const c10::Error&) {
    throw unknown_name("device", "device", name, {"auto", "cpu", "cuda", "cuda:N"});
  }
}

at::ScalarType choose_dtype(const std::string& name, const at::Device& device) {
  if (name == "fp32") return at::kFloat;
  if (name == "bf16") return at::kBFloat16;
  if (name == "auto") return bf16_is_fast(device) ? at::kBFloat16 : at::kFloat;
  throw unknown_name("dtype", "dtype", name, {"auto", "fp32", "bf16"});
}

/// A sum over finite values may overflow, so a sum that is not finite is looked at again.
bool all_finite(const Tensor& tensor) {
  return std::isfinite(tensor.sum().item<float>()) || at::isfinite(tensor).all().item<bool>();
}

}  // namespace

bool bf16_is_fast(const at::Device& device) {
  if (device.is_cuda()) return true;
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("flags", 0) == 0) {
      return line.find("avx512_bf16") != std::string::npos || line.find("amx_bf16") != std::string::npos;
    }
  }
  return false;
}

ModelConfig read_model_config(const ModelFolder& folder) {
  ModelConfig config = read_model_config(folder.config(), (folder.path() / "config.json").string());
  const Json json = generation_config(folder.path());
  const Json ids = json.is_object() && json.contains("eos_token_id") ? json["eos_token_id"] : Json();
  for (const Json& id : ids.is_array() ? ids : Json::array({ids})) {
    if (id.is_number_integer() &&
        std::find(config.end_ids.begin(), config.end_ids.end(), id.get<int64_t>()) == config.end_ids.end())
      config.end_ids.push_back(id.get<int64_t>());
  }
  return config;
}

std::shared_ptr<Model> Model::load(const std::filesystem::path& folder, const ModelOptions& options) {
  const ModelFolder files = ModelFolder::open(folder);
  const std::string where = (folder / "config.json").string();
  ModelConfig config = read_model_config(files);
  const at::Device device = choose_device(options.device);
  const at::ScalarType dtype = choose_dtype(options.dtype, device);

  std::set<std::string> expected;
  NamedTensors parameters;
  for (const auto& [name, shape] : parameter_shapes(config)) {
    expected.insert(name);
    if (!files.has(name))
      throw UserError("{}: the tensor '{}' is missing; {} says it has {} layers", folder.string(), name,
                      where, config.layers);
    const Tensor stored = files.tensor(name);
    if (stored.sizes() != at::IntArrayRef(shape)) {
      throw UserError("{}: the tensor '{}' has shape {}, but {} makes it {}", folder.string(), name,
                      shape_text(stored.sizes()), where, shape_text(shape));
    }
    const Tensor value = stored.to(device, at::kFloat);
    if (!all_finite(value))
      throw UserError("{}: the tensor '{}' holds values that are not finite (NaN or infinity)",
                      folder.string(), name);
    parameters.emplace_back(name, value);
  }
  for (const TensorEntry& entry : files.entries()) {
    const bool known_extra =
        (entry.name == "lm_head.weight" && config.tied) || entry.name.ends_with("rotary_emb.inv_freq");
    if (!expected.contains(entry.name) && !known_extra) {
      throw UserError("{}: the tensor '{}' has no place in this architecture; is {} of another model?",
                      folder.string(), entry.name, where);
    }
  }
  return std::make_shared<Model>(std::move(config), std::move(parameters), dtype);
}

}  // namespace caltrop
