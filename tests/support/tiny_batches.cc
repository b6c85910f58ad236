#include "tests/support/tiny_batches.h"

#include <ATen/ATen.h>

#include "caltrop/data/micro_batches.h"

namespace caltrop::test {

std::vector<TokenRow> random_rows(uint64_t seed, int64_t count) {
  RandomStream random(seed, "rows");
  std::vector<TokenRow> rows;
  for (int64_t i = 0; i < count; ++i) {
    TokenRow row{{7, 8, 9}, {false, false, false}};
    for (uint64_t t = 0, length = 3 + random.below(9); t < length; ++t) {
      row.ids.push_back(static_cast<int64_t>(random.below(61)));
      row.answer.push_back(t > 0);
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

Step make_step(const Model& model, const std::vector<std::string>& streams, int64_t rows, int64_t part,
               int64_t number, Beginnings beginnings) {
  Step::Batches batches;
  std::map<std::string, std::vector<TokenRow>> kept;
  uint64_t seed = 1;
  for (const std::string& stream : streams) {
    kept[stream] = random_rows(seed++, rows);
    batches[stream] = micro_batches(kept[stream], part, at::kCPU, beginnings);
  }
  const auto others = [=](const std::string&, RandomStream random) {
    const std::vector<TokenRow> drawn = random_rows(random.next(), rows);
    return Step::Drawn{drawn, micro_batches(drawn, part, at::kCPU, beginnings)};
  };
  Step step(number, 0, model, std::move(batches), others);
  step.keep_rows(std::move(kept));
  return step;
}

std::vector<double> by_length(const std::vector<std::string>&, const std::vector<std::string>& responses) {
  std::vector<double> paid;
  for (const std::string& response : responses) paid.push_back(static_cast<double>(response.size()));
  return paid;
}

double scalar(const Scalars& scalars, const std::string& name) {
  for (const auto& [key, value] : scalars) {
    if (key == name) return value.item<double>();
  }
  throw std::logic_error("no scalar " + name);
}

std::vector<Tensor> parameters_of(const Model& model) {
  std::vector<Tensor> list;
  for (const auto& [name, parameter] : model.parameters()) list.push_back(parameter);
  return list;
}

void scale_weights(const Model& model, double factor) {
  const at::NoGradGuard off;
  for (const Tensor& parameter : parameters_of(model)) parameter.mul_(factor);
}

Gradients take_gradients(const Model& model) {
  Gradients gradients;
  for (const auto& [name, parameter] : model.parameters()) {
    const Tensor handle = parameter;
    gradients.push_back(handle.grad().defined() ? handle.grad().clone() : at::zeros_like(handle));
    handle.mutable_grad() = Tensor();
  }
  return gradients;
}

double difference(const Gradients& a, const Gradients& b) {
  double largest = 0, highest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, (a[i] - b[i]).abs().max().item<double>());
    highest = std::max(highest, b[i].abs().max().item<double>());
    if (!std::isfinite((a[i] - b[i]).sum().item<double>())) return std::numeric_limits<double>::infinity();
  }
  return largest / highest;
}

}  // namespace caltrop::test
