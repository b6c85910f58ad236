#include "caltrop/run/embeddings.h"

#include <ATen/ATen.h>

#include "caltrop/base/error.h"
#include "caltrop/data/batch.h"
#include "caltrop/data/collate.h"

namespace caltrop {
namespace {

constexpr size_t kLongest = 512;
constexpr size_t kTextsAtOnce = 16;

}  // namespace

Tensor text_embeddings(const std::vector<std::string>& texts, const std::filesystem::path& folder,
                       const ModelOptions& compute) {
  const at::NoGradGuard no_grad;
  const auto model = Model::load(folder, compute);
  const ChatEncoder encoder = ChatEncoder::load(folder);
  std::vector<TokenRow> rows;
  for (const std::string& text : texts) {
    TokenRow row;
    row.ids = encoder.tokenizer().encode(text, /*add_special_tokens=*/true).ids;
    if (row.ids.empty()) throw UserError("{}: the text '{}' has no tokens to embed", folder.string(), text);
    row.ids.resize(std::min(row.ids.size(), kLongest));
    encoder.tokenizer().check_ids(row.ids, model->config().vocabulary, folder.string());
    row.answer.assign(row.ids.size(), true);
    rows.push_back(std::move(row));
  }
  std::vector<Tensor> means;
  for (size_t begin = 0; begin < rows.size(); begin += kTextsAtOnce) {
    const auto some = std::span(rows).subspan(begin, std::min(kTextsAtOnce, rows.size() - begin));
    std::vector<std::vector<int64_t>> places;
    const Batch batch = pack(some, model->device(), &places);
    const Tensor hidden = model->forward(batch.tokens).to(at::kFloat);
    for (const std::vector<int64_t>& of_row : places)
      means.push_back(hidden.index_select(0, at::tensor(of_row).to(hidden.device())).mean(0));
  }
  const Tensor vectors = at::stack(means);
  const Tensor centred = vectors - vectors.mean(0);
  return (centred / centred.norm(2, 1, /*keepdim=*/true).clamp_min(1e-12)).cpu();
}

AnswerSimilarity embedding_similarity(const std::vector<Example>& prompts,
                                      const std::vector<std::string>& answers,
                                      const std::filesystem::path& folder, const ModelOptions& compute) {
  std::vector<std::string> texts = answers;
  for (const Example& prompt : prompts) texts.push_back(prompt.prompt());
  for (const Example& prompt : prompts) texts.push_back(prompt.response());
  const Tensor vectors = text_embeddings(texts, folder, compute);
  const auto a = static_cast<int64_t>(answers.size()), p = static_cast<int64_t>(prompts.size());
  const Tensor of_answers = vectors.narrow(0, 0, a);
  // [a,p]: the larger of the cosines to the prompt and to its own answer.
  const Tensor similarity = at::maximum(of_answers.matmul(vectors.narrow(0, a, p).t()),
                                        of_answers.matmul(vectors.narrow(0, a + p, p).t()))
                                .contiguous();
  return [similarity, p](size_t answer, size_t prompt) {
    return static_cast<double>(
        similarity.const_data_ptr<float>()[static_cast<int64_t>(answer) * p + static_cast<int64_t>(prompt)]);
  };
}

}  // namespace caltrop
