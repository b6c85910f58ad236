#include "caltrop/loss/token_noise.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include "caltrop/kernels/linear.h"

namespace caltrop {

LossFn token_noise_loss(const TokenNoise& noise, std::vector<Tensor> chosen) {
  return {[=](const LossInputs& in) {
    const Tensor nll = -at::log_softmax(apply_linear(in.hidden, in.head).to(at::kFloat), -1);  // [M,V]
    const Tensor of_label = nll.gather(1, in.labels.unsqueeze(1)).squeeze(1);                  // [M]
    const int64_t m = nll.size(0), v = nll.size(1);
    Tensor of_noise;  // [M]
    if (noise.kind == "uniform") {
      of_noise = (nll.sum(1) - of_label) / static_cast<double>(v - 1);
    } else {
      const bool frozen = noise.kind == "frozen";
      at::Generator generator =
          at::detail::createCPUGenerator(noise.seed + (frozen ? 0 : static_cast<uint64_t>(in.part)));
      const Tensor z = at::rand({frozen ? 1 : m, v}, generator, at::TensorOptions(at::kFloat))
                           .to(nll.device())
                           .expand({m, v});
      const Tensor others = z.scatter(1, in.labels.unsqueeze(1), 0.0);
      of_noise = (others * nll).sum(1) / others.sum(1);
    }
    const Tensor& mask = chosen[static_cast<size_t>(in.part)];
    return Total{((noise.label * of_label + noise.weight * of_noise) * mask).sum(),
                 mask.sum().item<int64_t>()};
  }};
}

}  // namespace caltrop
