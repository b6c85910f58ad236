// How alike texts are to a language model: for pairing restricted requests with answers to other questions, as SDD does by
// sentence embeddings. Tested by tests/run/embeddings_test.cc.
#pragma once

#include <filesystem>

#include "caltrop/data/pairing.h"
#include "caltrop/model/model.h"

namespace caltrop {

/// One vector a text, [T,D] fp32 on the CPU: the mean over its tokens of the hidden states after the final norm, less the mean
/// over all texts (states of language models share a large common direction), of unit length. Texts are cut to 512 tokens.
/// Throws UserError for a folder that Model::load does not take; encoders like BERT are no language models.
Tensor text_embeddings(const std::vector<std::string>& texts, const std::filesystem::path& folder,
                       const ModelOptions& compute);

/// The cosine of these vectors, in place of TF-IDF's.
AnswerSimilarity embedding_similarity(const std::vector<Example>& prompts,
                                      const std::vector<std::string>& answers,
                                      const std::filesystem::path& folder, const ModelOptions& compute);

}  // namespace caltrop
