// Losses against a frozen reference model, whose hidden states at the same positions the caller has computed, one tensor
// [M,D] for each micro-batch (Step::hidden_of). Tested by tests/loss/reference_test.cc.
#pragma once

#include "caltrop/loss/total.h"

namespace caltrop {

/// -log p of each row's whole answer: [B] fp32, sums over its tokens.
Tensor row_nll(const LossInputs& in);

/// NPO, negative preference optimisation (Zhang et al., arXiv:2404.05868): sum over rows of
///   -(2/beta) log sigmoid( beta (NLL_theta(y|x) - NLL_ref(y|x)) )
/// count = B. beta -> 0 is gradient ascent.
LossFn npo_loss(double beta, std::vector<Tensor> reference_hidden, Tensor reference_head);

/// The form in the official code of CTRAP: -log sigmoid( mean NLL_theta - mean NLL_ref ), means over each row's tokens.
LossFn npo_loss_per_token(std::vector<Tensor> reference_hidden, Tensor reference_head);

/// Distance of the hidden states from the reference's, |h_l - ref_l|_2 at each position, mean over layers 0 .. L; count = M.
/// `states`: of the reference, indexed [micro-batch][layer] (Step::states_of).
LossFn state_distance(std::vector<std::vector<Tensor>> states);

/// KL(p_ref || p_theta) summed over positions, count = M. Logits of both exist at once: [M,V].
LossFn kl_loss(std::vector<Tensor> reference_hidden, Tensor reference_head);

}  // namespace caltrop
