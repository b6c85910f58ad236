// A reward from a model folder of the user's: a sequence classifier or a reward model of Hugging Face.
// Tested by tests/run/reward_model_test.cc against transformers.
#pragma once

#include <filesystem>
#include <string>

#include "caltrop/model/model.h"
#include "caltrop/train/reward.h"

namespace caltrop {

/// Scores the chat of a prompt and its response by `folder`, a …ForSequenceClassification of a family that Caltrop reads, with its
/// own tokenizer and chat template: logits [K] = score.weight [K,D] times the hidden state of the last token. With one label the reward is that logit, as
/// reward models are trained; with several, softmax probability of `label`, a name of the folder's id2label or a number as text.
/// Throws UserError for another architecture, a folder without score.weight, a label that it does not have; when asked, for a chat
/// longer than its context.
RewardFn model_reward(const std::filesystem::path& folder, const std::string& label,
                      const ModelOptions& compute);

}  // namespace caltrop
