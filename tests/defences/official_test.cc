// Our methods, with the presets that follow official code, against numbers that tools/make_method_baselines.py made by following
// that code with transformers.
#include "caltrop/base/json.h"
#include "caltrop/io/safetensors.h"
#include "caltrop/loss/layers.h"
#include "caltrop/loss/noise.h"
#include "tests/defences/method_test.h"

namespace caltrop {
namespace {

class OfficialTest : public testing::Test {
 protected:
  std::shared_ptr<Model> model =
      Model::load(test::data_file("llama/tied"), {.device = "cpu", .dtype = "fp32"});
  const std::shared_ptr<const SafetensorsFile> file =
      SafetensorsFile::open(test::data_file("methods/official.safetensors"));
  Tokenizer tokenizer = Tokenizer::load(test::data_file("tiny-model"));
  static constexpr int64_t kCollapseToken = 5;  // as in the script

  static std::vector<TokenRow> rows(const std::string& stream) {
    const Json all = read_json(test::data_file("methods/rows.json"));
    std::vector<TokenRow> list;
    for (const Json& row : all[stream])
      list.push_back({row["ids"].get<std::vector<int64_t>>(), row["answer"].get<std::vector<bool>>()});
    return list;
  }
  Step step(const Objective& objective) const {
    Step::Batches batches;
    for (const std::string& stream : objective.streams()) {
      const std::vector<TokenRow> list = rows(stream);
      batches[stream] = {pack(list, at::kCPU, nullptr, objective.beginnings())};
    }
    return Step(0, 0, *model, std::move(batches));
  }

  std::unique_ptr<Objective> make(const std::string& name, const Json& options) const {
    auto objective = find_entry(all_defences(), "defence", name).make(options);
    objective->prepare(*model, tokenizer);
    return objective;
  }
  Gradients gradients(Objective& objective) const {
    Step s = step(objective);
    objective.add_gradients(s);
    return test::take_gradients(*model);
  }
  Gradients official(const std::string& method) const {
    Gradients list;
    for (const auto& [name, p] : model->parameters()) list.push_back(file->tensor(method + "/" + name));
    return list;
  }
};

TEST_F(OfficialTest, Booster) {
  EXPECT_LE(test::difference(gradients(*make("booster", {{"preset", "code"}})), official("booster")), 1e-4);
}

TEST_F(OfficialTest, Ctrap) {
  // The collapse token is that of a text; find one whose last token is the script's.
  const std::vector<int64_t> ids{kCollapseToken};
  const std::string text = tokenizer.decode(ids, false);
  ASSERT_EQ(tokenizer.encode(text, false).ids.back(), kCollapseToken);
  EXPECT_LE(test::difference(gradients(*make("ctrap", {{"preset", "code"}, {"collapse_text", text}})),
                             official("ctrap")),
            1e-4);
}

TEST_F(OfficialTest, Vaccine) {
  EXPECT_LE(test::difference(gradients(*make("vaccine", {{"preset", "code"}})), official("vaccine")), 1e-4);
}

TEST_F(OfficialTest, Seam) {
  // A difference over 1e-3 carries the rounding of both gradients a thousandfold.
  EXPECT_LE(
      test::difference(gradients(*make("seam", {{"preset", "code"}, {"check_every", 0}})), official("seam")),
      1e-3);
}

TEST_F(OfficialTest, Npo) {
  const auto paper = make("npo", {{"preset", "paper"}, {"retain", 0}}),
             ctrap = make("npo", {{"preset", "ctrap"}});
  test::scale_weights(*model, 1.01);
  EXPECT_LE(test::difference(gradients(*paper), official("npo")), 1e-4);
  EXPECT_LE(test::difference(gradients(*ctrap), official("npo_ctrap")), 1e-4);
}

TEST_F(OfficialTest, RepNoise) {
  // The method draws its own noise; here its losses get the script's, at the positions that predict an answer token.
  const std::vector<TokenRow> harmful = rows("harmful"), refusals = rows("refusals");
  Step s(0, 0, *model, {{"harmful", {pack(harmful)}}, {"refusals", {pack(refusals)}}});
  const auto noise = [&](int64_t, int64_t layer, const Tensor&) {
    const Tensor whole = file->tensor(fmt::format("noise/{}", layer));
    std::vector<Tensor> at_labels;
    for (size_t r = 0; r < harmful.size(); ++r) {
      for (size_t t = 1; t < harmful[r].ids.size(); ++t) {
        if (harmful[r].answer[t])
          at_labels.push_back(whole[static_cast<int64_t>(r)][static_cast<int64_t>(t) - 1]);
      }
    }
    return at::stack(at_labels);
  };
  s.accumulate("refusals", answer_loss());
  s.accumulate("harmful", noise_loss(noise), 0.001);
  const Measured layers = s.measure("harmful", layerwise_loss());
  s.add(layers.gradients, -1 / (1 + layers.loss.item<double>()));
  EXPECT_LE(test::difference(test::take_gradients(*model), official("repnoise")), 1e-4);
}

}  // namespace
}  // namespace caltrop
