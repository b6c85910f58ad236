#include "caltrop/run/proof_spec.h"

#include "caltrop/base/yaml.h"
#include "tests/support/support.h"

namespace caltrop {
namespace {

Json proof() {
  return {{"model", "m"},
          {"domain", "d"},
          {"defences",
           {{"trap",
             {{"method", "ctrap"},
              {"sweep", {{"train.learning_rate", {1e-5, 3e-5}}, {"options.preset", {"code", "ours"}}}}}}}},
          {"attacks",
           {{"recipes",
             {{"method", "sft"}, {"sweep", {{"train.learning_rate", {1e-5, 1e-4}}}}, {"twin", "chat"}}},
            {"chat",
             {{"method", "sft"},
              {"options", {{"data", "benign"}}},
              {"sweep", {{"train.learning_rate", {1e-5, 1e-4}}}}}}}}};
}

TEST(ProofSpec, ASweepIsOneStageForEveryCombination) {
  const ProofSpec spec = read_proof_spec(proof(), "proof");
  ASSERT_EQ(spec.defences.size(), 4u);
  EXPECT_EQ(spec.defences[0].name, "trap-learning_rate-1e-05-preset-code");
  EXPECT_EQ(spec.defences[3].name, "trap-learning_rate-3e-05-preset-ours");
  EXPECT_EQ(spec.defences[3].spec.options["preset"], "ours");
  EXPECT_EQ(spec.defences[3].spec.train.learning_rate, 3e-5);
}

TEST(ProofSpec, AStageSetsSomeOfTheProofsEvaluation) {
  Json json = proof();
  json["evaluate"] = {{"at", Json::array()}, {"restricted", 7}};
  json["attacks"]["recipes"]["evaluate"] = {{"at", {5, 10}}};
  const ProofSpec spec = read_proof_spec(json, "proof");
  EXPECT_EQ(spec.evaluate.restricted, 7);
  EXPECT_TRUE(spec.evaluate.at.empty())
      << "a model that was given is measured alike, whatever attack comes first";
  EXPECT_EQ(spec.defences[0].spec.evaluate.restricted, 7);
  EXPECT_EQ(spec.attacks[0].spec.evaluate.restricted, 7);
  EXPECT_EQ(spec.attacks[0].spec.evaluate.at, (std::vector<int64_t>{5, 10}));
  EXPECT_TRUE(spec.attacks[2].spec.evaluate.at.empty());
}

TEST(ProofSpec, TwinsAreSweptTogether) {
  const ProofSpec spec = read_proof_spec(proof(), "proof");
  ASSERT_EQ(spec.attacks.size(), 4u);
  EXPECT_EQ(spec.attacks[0].name, "recipes-learning_rate-1e-05");
  EXPECT_EQ(spec.attacks[0].twin, "chat-learning_rate-1e-05");
  EXPECT_EQ(spec.attacks[1].twin, "chat-learning_rate-0.0001");
  EXPECT_EQ(spec.attacks[1].spec.train.learning_rate, 1e-4);
}

TEST(ProofSpec, ADefenceMayBeginWithTheModelOfAnother) {
  Json json = proof();
  json["defences"] = {{"trap", {{"method", "ctrap"}}}, {"both", {{"method", "sdd"}, {"after", "trap"}}}};
  const ProofSpec spec = read_proof_spec(json, "proof");
  EXPECT_EQ(spec.defences[0].after, "");
  EXPECT_EQ(spec.defences[1].after, "trap");
  json["defences"] = {{"both", {{"method", "sdd"}, {"after", "trap"}}}, {"trap", {{"method", "ctrap"}}}};
  EXPECT_USER_ERROR(
      read_proof_spec(json, "proof"),
      "proof: defences: both: 'after' is 'trap', want a defence that stands above it: there is none");
}

TEST(ProofSpec, AModelHardenedElsewhereIsAFolder) {
  Json json = proof();
  json["defences"] = {{"theirs", {{"folder", "models/theirs"}}}};
  EXPECT_EQ(read_proof_spec(json, "proof").defences[0].folder, "models/theirs");
  json["defences"]["theirs"]["method"] = "sdd";
  EXPECT_USER_ERROR(
      read_proof_spec(json, "proof"),
      "proof: defences: theirs: a defence with 'folder' is a model hardened elsewhere and has no other keys");
}

TEST(ProofSpec, AnAttackMayGoOnWithTheModelThatAnotherLeft) {
  Json json = proof();
  json["attacks"] = {{"few", {{"method", "sft"}}}, {"then", {{"method", "rl"}, {"after", "few"}}}};
  const ProofSpec spec = read_proof_spec(json, "proof");
  EXPECT_EQ(spec.attacks[1].after, "few");
  EXPECT_TRUE(spec.attacks[0].spec.keep_model);
  EXPECT_FALSE(spec.attacks[1].spec.keep_model);
  json["attacks"]["then"]["after"] = "many";
  EXPECT_USER_ERROR(read_proof_spec(json, "proof"),
                    "proof: attacks: then: 'after' is 'many', want an attack that stands above it: few");
}

/// What the proof above is refused with, once `value` stands at `path`.
void expect_refused(const std::string& path, const Json& value, const std::string& message) {
  Json json = proof();
  set_path(json, path, value, "test");
  EXPECT_USER_ERROR(read_proof_spec(json, "proof"), message);
}

TEST(ProofSpec, ATwinIsTrainedAlikeOnBenignRows) {
  expect_refused("attacks.chat.train.optimizer", "sgd",
                 "proof: 'recipes-learning_rate-1e-05' and its twin 'chat-learning_rate-1e-05' must be "
                 "trained alike, but "
                 "train.optimizer is \"adamw\" and \"sgd\"");
  expect_refused("attacks.chat.options.data", "mixed",
                 "proof: the twin of 'recipes-learning_rate-1e-05', 'chat-learning_rate-1e-05', trains on "
                 "harmful rows; want a "
                 "benign one");
  expect_refused("attacks",
                 {{"recipes", {{"method", "sft"}, {"twin", "chat"}}}, {"kind", {{"method", "sft"}}}},
                 "proof: attacks: recipes: 'twin' is 'chat', want one of: kind");
}

TEST(ProofSpec, WhatIsTheProofsToSayIsRefusedInAStage) {
  for (const std::string key : {"seed", "clean_model"}) {
    expect_refused(
        "attacks.chat." + key, 1,
        fmt::format(
            "proof: attacks: chat: '{}' is the proof's to say: its 'seeds', and its 'model', which is the "
            "clean one",
            key));
  }
  expect_refused("defences.trap.model", "other",
                 "proof: defences: trap: 'model' is the proof's to say; a model hardened elsewhere is a "
                 "defence with 'folder'");
}

TEST(ProofSpec, AMethodsComplaintSaysWhichStage) {
  expect_refused("attacks.chat.options.poisn", 1,
                 "proof: attacks: chat: sft: no option 'poisn'; it has: data, poison");
  expect_refused("attacks.chat.method", "sfd", "proof: attacks: chat: no attack 'sfd'; it has: rl, sft");
}

TEST(ProofSpec, EveryRecipeOfTheTreeReads) {
  int64_t count = 0;
  for (const auto& file :
       std::filesystem::recursive_directory_iterator(std::filesystem::path(SOURCE_DIR) / "recipes")) {
    if (file.path().extension() != ".yaml") continue;
    const Json json = read_yaml(file.path());
    if (json.contains("method")) {
      EXPECT_NO_THROW(read_stage_spec(StageKind::kDefend, json, file.path().string())) << file.path();
    } else {
      EXPECT_NO_THROW(read_proof_spec(json, file.path().string())) << file.path();
    }
    ++count;
  }
  EXPECT_GT(count, 5);
}

TEST(ProofSpec, AWrongSweepIsNamed) {
  Json json = proof();
  json["defences"]["trap"]["sweep"] = {{"train.learning_rate", 1e-5}};
  EXPECT_USER_ERROR(read_proof_spec(json, "proof"),
                    "proof: defences: trap: sweep: 'train.learning_rate' is 1e-05, want a list of values");
  json["defences"]["trap"]["sweep"] = 3;
  EXPECT_USER_ERROR(
      read_proof_spec(json, "proof"),
      "proof: defences: trap: 'sweep' is 3, want an object like {train.learning_rate: [1e-5, 3e-5]}");
  json["defences"]["trap"]["sweep"] = {{"options.preset", {"a/b"}}};
  EXPECT_USER_ERROR(
      read_proof_spec(json, "proof"),
      "proof: defences: the name 'trap-preset-a/b' is not made of letters, digits, '-', '_' and '.'");
}

}  // namespace
}  // namespace caltrop
