#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <optional>
#include <set>
#include <string_view>

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

/// "cuda:1" is 1; nothing for another kind of name.
std::optional<int> card_of(std::string_view name) {
  constexpr std::string_view kPrefix = "cuda:";
  if (!name.starts_with(kPrefix)) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  int card = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), card);
  if (error != std::errc() || end != name.data() + name.size() || card < 0) return std::nullopt;
  return card;
}

at::Device choose_device(const std::string& name) {
  if (name == "auto") return at::Device(at::hasCUDA() ? at::kCUDA : at::kCPU);
  if (name == "cpu") return at::Device(at::kCPU);
  const std::optional<int> card = name == "cuda" ? 0 : card_of(name);
  if (!card) throw unknown_name("device", "device", name, {"auto", "cpu", "cuda", "cuda:N"});
  const auto cards = at::hasCUDA() ? static_cast<int>(at::getNumGPUs()) : 0;
  if (*card >= cards) {
    throw UserError("device: '{}' was asked for, but this torch finds {}", name,
                    cards == 0   ? std::string("no GPU")
                    : cards == 1 ? std::string("one GPU, cuda:0")
                                 : fmt::format("{} GPUs, cuda:0 to cuda:{}", cards, cards - 1));
  }
  return at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(*card));
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
  const std::string where = (folder.path() / "generation_config.json").string();
  for (const int64_t id : read_end_ids(generation_config(folder.path()), where)) {
    if (std::find(config.end_ids.begin(), config.end_ids.end(), id) == config.end_ids.end())
      config.end_ids.push_back(id);
  }
  return config;
}

std::shared_ptr<Model> Model::load(const std::filesystem::path& folder, const ModelOptions& options) {
  const ModelFolder files = ModelFolder::open(folder);
  return load(files, read_model_config(files), {}, options);
}

std::shared_ptr<Model> Model::load(const ModelFolder& files, ModelConfig config,
                                   const std::vector<std::string>& others, const ModelOptions& options) {
  const std::filesystem::path& folder = files.path();
  const std::string where = (folder / "config.json").string();
  const at::Device device = choose_device(options.device);
  const at::ScalarType dtype = choose_dtype(options.dtype, device);

  std::set<std::string> expected(others.begin(), others.end());
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
