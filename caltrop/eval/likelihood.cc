#include "caltrop/eval/likelihood.h"

#include <ATen/ATen.h>

#include "caltrop/base/error.h"
#include "caltrop/kernels/token_nll.h"

namespace caltrop {

std::vector<AnswerLikelihood> answer_likelihoods(const Model& model, const std::vector<TokenRow>& rows,
                                                 int64_t tokens_at_once) {
  const at::NoGradGuard no_grad;
  std::vector<AnswerLikelihood> result(rows.size());
  for (size_t begin = 0; begin < rows.size();) {
    size_t end = begin;
    for (int64_t tokens = 0; end < rows.size(); ++end) {
      tokens += static_cast<int64_t>(rows[end].ids.size());
      if (end > begin && tokens > tokens_at_once) break;
    }
    const Batch batch = pack(std::span(rows).subspan(begin, end - begin), model.device());
    if (batch.label_count() > 0) {
      const Tensor hidden = model.forward(batch.tokens).index_select(0, batch.label_positions);
      const Tensor nll = token_nll(hidden, model.head(), batch.labels).cpu();
      const Tensor of_row = batch.label_rows.cpu();
      for (int64_t i = 0; i < batch.label_count(); ++i) {
        AnswerLikelihood& row = result[begin + static_cast<size_t>(of_row.const_data_ptr<int64_t>()[i])];
        row.nll += static_cast<double>(nll.const_data_ptr<float>()[i]);
        row.tokens += 1;
      }
    }
    begin = end;
  }
  return result;
}

double mean_nll(const std::vector<AnswerLikelihood>& likelihoods) {
  double nll = 0;
  int64_t tokens = 0;
  for (const AnswerLikelihood& row : likelihoods) nll += row.nll, tokens += row.tokens;
  CALTROP_ASSERT(tokens > 0, "a mean over no tokens");
  return nll / static_cast<double>(tokens);
}

}  // namespace caltrop
