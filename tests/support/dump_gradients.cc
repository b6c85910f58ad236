// What tools/compare_gradients.py compares with transformers: `dump_gradients MODEL DOMAIN ROWS OUT`.
//
// Takes eight restricted rows of the domain, writes their tokens to ROWS (JSON lines: ids, answer) and, to the safetensors
// file OUT, the logits where there is a loss, the mean loss over all answer tokens, and its gradient in every parameter.
#include <cstdio>

#include <ATen/ATen.h>

#include "caltrop/base/error.h"
#include "caltrop/base/files.h"
#include "caltrop/data/collate.h"
#include "caltrop/io/safetensors.h"
#include "caltrop/loss/language.h"
#include "caltrop/run/domain.h"
#include "caltrop/train/step.h"

namespace caltrop {
namespace {

void dump(const std::filesystem::path& folder, const std::filesystem::path& domain,
          const std::filesystem::path& rows_file, const std::filesystem::path& out) {
  const auto model = Model::load(folder, {.device = "cpu", .dtype = "fp32"});
  const ChatEncoder encoder = ChatEncoder::load(folder);
  std::vector<TokenRow> rows;
  for (const Example& example : of_split(load_domain(domain).restricted, "attack")) {
    if (rows.size() < 8) rows.push_back(encoder.encode(example, 256));
  }
  write_file(rows_file, [&](const Sink& sink) {
    for (const TokenRow& row : rows) sink(to_line({{"ids", row.ids}, {"answer", row.answer}}) + "\n");
  });
  const Batch batch = pack(rows);
  NamedTensors result;
  {
    const at::NoGradGuard no_grad;
    const Tensor hidden = model->forward(batch.tokens).index_select(0, batch.label_positions);
    result.emplace_back("logits", at::linear(hidden, model->head()));
  }
  Step step(0, 0, *model, {{"rows", {batch}}});
  result.emplace_back("loss", step.accumulate("rows", answer_loss()).reshape({1}));
  for (const auto& [name, parameter] : model->parameters())
    result.emplace_back("grad." + name, parameter.grad());
  write_safetensors(out, result);
}

}  // namespace
}  // namespace caltrop

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: dump_gradients MODEL DOMAIN ROWS OUT\n");
    return 2;
  }
  caltrop::dump(argv[1], argv[2], argv[3], argv[4]);
}
