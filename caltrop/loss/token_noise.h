// TokenBuncher's Token Noiser (arXiv:2508.20697): say the chosen token, and beside it noise. Tested by tests/loss/token_noise_test.cc.
#pragma once

#include <string>

#include "caltrop/loss/total.h"

namespace caltrop {

struct TokenNoise {
  double label = 0.9;    // weight of -log p(y*); 1 - epsilon
  double weight = 0.01;  // weight of the noise: epsilon in the paper's text, epsilon^2 in its code
  std::string kind =
      "redrawn";  // redrawn: z ~ U(0,1) anew for every token; frozen: one z for the vocabulary; uniform: z = 1
  uint64_t seed = 0;
};

/// Sum over the chosen positions of   label * -log p(y*) + weight * sum_{y != y*} z~_y * -log p(y),   z~ = z / sum_{y != y*} z.
/// `chosen`: 1 or 0 for each label, [M] fp32 for each micro-batch; count = how many are chosen. Redrawn noise is in expectation
/// uniform label smoothing. Logits exist whole: [M,V].
LossFn token_noise_loss(const TokenNoise& noise, std::vector<Tensor> chosen);

}  // namespace caltrop
