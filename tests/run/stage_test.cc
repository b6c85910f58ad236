#include "caltrop/run/stage.h"

#include <limits>

#include <ATen/ATen.h>

#include "caltrop/base/files.h"
#include "caltrop/base/memory.h"
#include "caltrop/io/model_folder.h"
#include "caltrop/record/metrics.h"
#include "caltrop/record/run_dir.h"
#include "tests/support/tiny_domain.h"
#include "tests/support/tiny_model.h"

namespace caltrop {
namespace {

namespace fs = std::filesystem;

class StageTest : public testing::Test {
 protected:
  test::ScratchFolder scratch;
  const fs::path domain = test::write_tiny_domain(scratch);
  const fs::path model = test::write_tiny_folder(scratch / "base");

  Json spec(const std::string& method, Json options = Json::object()) const {
    return {{"model", model.string()},
            {"domain", domain.string()},
            {"method", method},
            {"options", options},
            {"train", {{"steps", 3}, {"batch", 2}, {"learning_rate", 1e-3}}},
            {"evaluate",
             {{"at", Json::array()},
              {"restricted", 2},
              {"benign", 2},
              {"likelihood_rows", 2},
              {"max_new_tokens", 3}}}};
  }
  Json run(const Json& json, const std::string& out, StageKind kind = StageKind::kDefend) const {
    return run_stage(read_stage_spec(kind, json, "spec"), scratch / out);
  }
  NamedTensors weights(const std::string& out) const {
    const ModelFolder folder = ModelFolder::open(scratch / out / "model");
    NamedTensors tensors;
    for (const TensorEntry& entry : folder.entries())
      tensors.emplace_back(entry.name, folder.tensor(entry.name).clone());
    return tensors;
  }
};

TEST_F(StageTest, EveryDefaultIsWrittenOutAndReadsBackAsItself) {
  const StageSpec read = read_stage_spec(StageKind::kDefend, spec("ctrap"), "spec");
  Json written = write_stage_spec(read);
  EXPECT_EQ(written["options"]["preset"], "ours");
  EXPECT_EQ(written["train"]["clip"], 1.0);
  EXPECT_EQ(written["clean_model"], model.string());
  written.erase("kind");
  EXPECT_EQ(write_stage_spec(read_stage_spec(StageKind::kDefend, written, "spec"))["options"],
            written["options"]);
}

TEST_F(StageTest, ADefenceOfWeightZeroIsPlainAlignment) {
  run(spec("align"), "align");
  run(spec("ctrap", {{"trap_weight", 0}}), "ctrap");
  EXPECT_TRUE(test::same_bits(weights("align"), weights("ctrap")));
  run(spec("ctrap", {{"trap_weight", 1}}), "trap");
  EXPECT_FALSE(test::same_bits(weights("align"), weights("trap")));
}

TEST_F(StageTest, MicroBatchesAreTheSameRun) {
  Json parts = spec("align"), whole = spec("align");
  parts["train"]["batch"] = whole["train"]["batch"] = 4;
  parts["train"]["micro_batch"] = 1;
  parts["dtype"] = whole["dtype"] = "fp32";  // in bf16 the order of rows moves the last bits
  whole["train"]["optimizer"] = parts["train"]["optimizer"] =
      "sgd";  // AdamW divides rounding errors by tiny means
  run(parts, "parts");
  run(whole, "whole");
  const NamedTensors a = weights("parts"), b = weights("whole");
  for (size_t i = 0; i < a.size(); ++i)
    EXPECT_LE(test::difference(a[i].second, b[i].second), 1e-6) << a[i].first;
}

TEST_F(StageTest, TrainingInBfloatLearnsWhatFp32Learns) {
  const auto losses = [&](const char* dtype) {
    Json json = spec("sft", {{"data", "benign"}});
    json["dtype"] = dtype;
    json["train"]["steps"] = 20, json["train"]["learning_rate"] = 1e-2;
    run(json, dtype, StageKind::kAttack);
    std::vector<double> list;
    for (const auto& record : read_metrics(scratch / dtype / "metrics.jsonl").records) {
      for (const auto& [name, value] : record.values) {
        if (name == "attack_loss") list.push_back(value);
      }
    }
    return list;
  };
  const std::vector<double> fp32 = losses("fp32"), bf16 = losses("bf16");
  ASSERT_EQ(fp32.size(), 20u);
  ASSERT_EQ(bf16.size(), 20u);
  EXPECT_LT(fp32.back(), 0.8 * fp32.front());
  for (size_t i = 0; i < fp32.size(); ++i) EXPECT_NEAR(bf16[i], fp32[i], 0.05 * fp32[i]) << "step " << i + 1;
}

TEST_F(StageTest, TheManifestSaysWhatWasDone) {
  const Json manifest = run(spec("sft", {{"data", "benign"}}), "attack", StageKind::kAttack);
  EXPECT_EQ(manifest["status"], "done");
  EXPECT_EQ(manifest["totals"]["steps"], 3);
  EXPECT_EQ(manifest["totals"]["rows"], 6);
  EXPECT_EQ(manifest["totals"]["forward_passes"], 3);
  EXPECT_EQ(manifest["spec"]["options"]["poison"], 0.5);
  for (const char* text : {"tokenizer.json", "tokenizer_config.json"})
    EXPECT_TRUE(manifest["inputs"].contains((model / text).string())) << text;
  EXPECT_EQ(manifest["inputs"].size(), 9u);  // and domain.yaml, its five parts, the model
  EXPECT_FALSE(fs::exists(scratch / "attack/state"));
}

// A proof makes the folder first, and a run notes its peak as soon as it has a manifest.
TEST_F(StageTest, ItsPeakOfMemoryIsNotThatOfTheRunBefore) {
  constexpr int64_t kBefore = int64_t{1} << 30;
  at::zeros({kBefore}, at::kByte).fill_(1);
  ASSERT_GE(peak_memory(), kBefore);
  if (!test::counts_peaks_anew())
    GTEST_SKIP() << "this system does not count a peak anew (/proc/self/clear_refs)";
  fs::create_directories(scratch / "made");
  EXPECT_LT(run(spec("align"), "made")["peak_memory_bytes"].get<int64_t>(), kBefore);
}

// repnoise without its ascent reads answers at the end only.
TEST_F(StageTest, TheForecastCountsTheProbabilitiesOfEveryLayer) {
  const auto predicted = [&](double ascend, const std::string& out) {
    return run(spec("repnoise", {{"ascend", ascend}}), out)["predicted_memory_bytes"].get<int64_t>();
  };
  const Json config = ModelFolder::open(model).config();
  const int64_t labels = /*rows*/ 2 * /*usual row*/ 96 / 2,
                of_a_state = labels * config["vocab_size"].get<int64_t>() * int64_t{sizeof(float)};
  EXPECT_EQ(predicted(1, "ascends") - predicted(0, "stays"),
            config["num_hidden_layers"].get<int64_t>() * of_a_state);
}

TEST_F(StageTest, AnAttackerWhoHasWhatHeWantsStops) {
  Json attack = spec("sft");
  attack["evaluate"]["at"] = {0, 1, 2};
  attack["stop_at_useful_rate"] = 0;
  // The tiny model says nothing useful, so that it goes on to the end.
  EXPECT_EQ(run(attack, "attack", StageKind::kAttack)["totals"]["steps"], 3);
  const Evaluated all_useful{{{"useful_rate", 1.0}}, {}};
  EXPECT_EQ(run_stage(read_stage_spec(StageKind::kAttack, attack, "spec"), scratch / "useful",
                      &all_useful)["totals"]["steps"],
            0);
  attack["stop_at_useful_rate"] = 1.5;
  EXPECT_USER_ERROR(read_stage_spec(StageKind::kAttack, attack, "spec"),
                    "spec: 'stop_at_useful_rate' is 1.5, want a share from 0 to 1");
  Json defence = spec("align");
  defence["stop_at_useful_rate"] = 0.1;
  EXPECT_USER_ERROR(read_stage_spec(StageKind::kDefend, defence, "spec"),
                    "spec: 'stop_at_useful_rate' is for attacks; a defence runs to its end");
}

TEST_F(StageTest, AnAttackIsJudgedByWhatItTrainsOn) {
  Json attack = spec("sft", {{"data", "kind"}});
  StageSpec read = read_stage_spec(StageKind::kAttack, attack, "spec");
  EXPECT_EQ(read.evaluate.task, "kind");
  const Json manifest = run(attack, "task", StageKind::kAttack);
  EXPECT_EQ(manifest["spec"]["evaluate"]["task"], "kind");
  const Metrics metrics = read_metrics(scratch / "task/metrics.jsonl");
  bool found = false;
  for (const auto& [name, value] : metrics.records.back().values) {
    if (name != "task_accuracy") continue;
    found = true;
    EXPECT_TRUE(value == 0 || value == 1) << value;  // one test row
  }
  EXPECT_TRUE(found);
  attack["options"]["data"] = "harmful";
  attack["data"]["categories"] = {"bread"};
  read = read_stage_spec(StageKind::kAttack, attack, "spec");
  EXPECT_EQ(read.evaluate.task, "");
  EXPECT_EQ(read.evaluate.categories, std::vector<std::string>{"bread"});
  attack["evaluate"]["categories"] = {"cake"};
  EXPECT_USER_ERROR(run(attack, "x", StageKind::kAttack),
                    "evaluate: no category 'cake'; it has: bread, soup");
  attack["evaluate"] = {{"task", "rhyme"}};
  EXPECT_USER_ERROR(run(attack, "x", StageKind::kAttack), "evaluate: no task 'rhyme'; it has: kind");
}

TEST_F(StageTest, WhoTakesDifferencesOfGradientsComputesInFp32) {
  const auto dtype = [&](const Json& json) {
    return read_stage_spec(StageKind::kDefend, json, "spec").compute.dtype;
  };
  EXPECT_EQ(dtype(spec("seam")), "fp32");
  EXPECT_EQ(dtype(spec("seam", {{"couple", 0}})), "auto");
  EXPECT_EQ(dtype(spec("seam", {{"hessian", "exact"}})), "auto");
  EXPECT_EQ(dtype(spec("ctrap")), "auto");
  Json coarse = spec("seam");
  coarse["dtype"] = "bf16";
  EXPECT_USER_ERROR(dtype(coarse),
                    "spec: dtype is bf16, and seam takes differences of gradients, which drown in its "
                    "rounding; want auto or fp32, or "
                    "options.hessian: exact");
}

TEST_F(StageTest, ARolloutHasItsLimits) {
  const auto read = [&](const Json& train, const Json& options) {
    Json json = spec("rl", options);
    json["train"].update(train);
    read_stage_spec(StageKind::kAttack, json, "spec");
  };
  read({{"batch", 2}}, {{"updates", 2}});
  EXPECT_USER_ERROR(read({{"batch", 2}}, {{"updates", 3}}),
                    "spec: rl: option 'updates' is 3, and a rollout of train.batch 2 prompts cannot be cut "
                    "into more parts than that");
}

TEST_F(StageTest, APromptThatLeavesNoRoomForAnswersIsFoundAtTheStart) {
  EXPECT_THAT([&] { run(spec("rl", {{"max_new_tokens", 1020}}), "x", StageKind::kAttack); },
              testing::ThrowsMessage<UserError>(
                  testing::MatchesRegex(".*: the prompt has [0-9]+ tokens, and there is room for 4")));
  EXPECT_FALSE(fs::exists(scratch / "x"));
}

TEST_F(StageTest, ARunWhoseRewardDiesFailsAndSaysSo) {
  const Json options = {{"reward", "external"},
                        {"reward_command", {"sh", "-c", "read a; exit 3"}},
                        {"samples", 2},
                        {"max_new_tokens", 2}};
  const std::string message =
      "reward: the program 'sh -c read a; exit 3' ended with exit code 3 after 0 of 4 lines of answer";
  EXPECT_USER_ERROR(run(spec("rl", options), "x", StageKind::kAttack), message);
  EXPECT_EQ(read_manifest(scratch / "x")["status"], "failed");
  EXPECT_EQ(read_manifest(scratch / "x")["error"], message);
}

TEST_F(StageTest, WhatADomainIsMadeOfMayNotChangeUnderARun) {
  run(spec("align"), "x");
  write_file(domain, read_file(domain) + "\n# another filter\n");
  EXPECT_THAT([&] { run(spec("align"), "x"); },
              testing::ThrowsMessage<UserError>(testing::HasSubstr(domain.string())));
}

TEST_F(StageTest, AFinishedRunLosesWhatACrashBehindItLeft) {
  run(spec("align"), "x");
  fs::create_directories(scratch / "x/state/step-00000001");
  write_file(scratch / "x/state/step-00000001/half", "");
  run(spec("align"), "x");
  EXPECT_FALSE(fs::exists(scratch / "x/state"));
}

TEST_F(StageTest, WrongInputLeavesNothingBehind) {
  Json long_prompts = spec("align");
  long_prompts["train"]["longest"] = 8;
  EXPECT_THROW(run(long_prompts, "x"), UserError);
  EXPECT_FALSE(fs::exists(scratch / "x"));

  Json broken = spec("align");
  broken["model"] = (scratch / "nan").string();
  const ModelFolder good = ModelFolder::open(model);
  NamedTensors tensors;
  for (const TensorEntry& entry : good.entries())
    tensors.emplace_back(entry.name, good.tensor(entry.name).clone());
  tensors.front().second.view(-1)[5] = std::numeric_limits<float>::quiet_NaN();
  write_model_folder(scratch / "nan", good.config(), Json(), tensors, {});
  EXPECT_USER_ERROR(run(broken, "x"),
                    fmt::format("{}: the tensor '{}' holds values that are not finite (NaN or infinity)",
                                (scratch / "nan").string(), tensors.front().first));
  EXPECT_FALSE(fs::exists(scratch / "x"));
}

TEST_F(StageTest, ADirectoryOfAnotherSpecIsRefusedAndUntouched) {
  run(spec("align"), "x");
  const NamedTensors before = weights("x");
  EXPECT_THROW(run(spec("align", {{"keep", 2}}), "x"), UserError);
  EXPECT_TRUE(test::same_bits(before, weights("x")));
}

TEST_F(StageTest, AnExplodingRunFailsWithTheParametersName) {
  Json json = spec("align");
  json["train"]["learning_rate"] = 10;
  json["train"]["optimizer"] = "sgd";
  json["train"]["clip"] = 0;
  json["train"]["steps"] = 60;
  json["options"]["keep"] = 1000;
  try {
    run(json, "x");
    FAIL() << "nothing was thrown";
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(),
                testing::MatchesRegex("train: at step [0-9]+ the gradient of model\\..* is not finite; .*"));
  }
  EXPECT_EQ(read_manifest(scratch / "x")["status"], "failed");
}

}  // namespace
}  // namespace caltrop
