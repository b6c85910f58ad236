#include "caltrop/run/embeddings.h"

#include <ATen/ATen.h>

#include "caltrop/data/collate.h"
#include "tests/support/tiny_model.h"

namespace caltrop {
namespace {

class EmbeddingsTest : public testing::Test {
 protected:
  test::ScratchFolder scratch;
  const std::filesystem::path folder = test::write_tiny_folder(scratch / "model");
};

// Texts that begin alike share tokens in a packed batch; each alone has the same mean all the same.
TEST_F(EmbeddingsTest, AVectorIsTheCentredMeanOfTheTextsOwnStates) {
  const std::vector<std::string> texts = {"Boil the onions.", "Boil the leeks and stir.", "A heron."};
  const Tensor vectors = text_embeddings(texts, folder, {.device = "cpu", .dtype = "fp32"});
  const at::NoGradGuard no_grad;
  const auto model = Model::load(folder, {.device = "cpu", .dtype = "fp32"});
  const ChatEncoder encoder = ChatEncoder::load(folder);
  std::vector<Tensor> means;
  for (const std::string& text : texts) {
    const auto ids = encoder.tokenizer().encode(text, true).ids;
    const TokenRow row{ids, std::vector<bool>(ids.size(), true)};
    means.push_back(model->forward(pack(std::span(&row, 1)).tokens).mean(0));
  }
  Tensor expected = at::stack(means);
  expected = expected - expected.mean(0);
  expected = expected / expected.norm(2, 1, true);
  EXPECT_LE(test::difference(vectors, expected), 1e-5);
}

TEST_F(EmbeddingsTest, ATextIsMostLikeItself) {
  Example prompt;
  prompt.messages = {{"user", "How do I make soup?"}, {"assistant", "Boil the onions."}};
  const std::vector<std::string> answers = {"Boil the onions.", "A heron lives near rivers.", "Words rhyme."};
  const AnswerSimilarity similarity =
      embedding_similarity({prompt}, answers, folder, {.device = "cpu", .dtype = "fp32"});
  EXPECT_NEAR(similarity(0, 0), 1, 1e-5);
  EXPECT_LT(similarity(1, 0), 1);
}

}  // namespace
}  // namespace caltrop
