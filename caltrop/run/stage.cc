#include "caltrop/run/stage.h"

#include <algorithm>
#include <optional>

#include <ATen/Parallel.h>

#include "caltrop/base/error.h"
#include "caltrop/base/files.h"
#include "caltrop/base/log.h"
#include "caltrop/base/memory.h"
#include "caltrop/io/model_folder.h"
#include "caltrop/loss/layers.h"
#include "caltrop/model/decoder.h"
#include "caltrop/record/run_dir.h"
#include "caltrop/run/evaluate.h"
#include "caltrop/run/failure.h"
#include "caltrop/run/model_files.h"
#include "caltrop/run/reward_model.h"
#include "caltrop/run/rewards.h"
#include "caltrop/tensor/device_memory.h"
#include "caltrop/train/rollouts.h"

namespace caltrop {

std::vector<const Entry*> all_defences();
std::vector<const Entry*> all_attacks();

namespace {

namespace fs = std::filesystem;

/// Whose rows a stage trains on.
std::string split_of(StageKind kind) { return kind == StageKind::kDefend ? "defence" : "attack"; }

const char* kind_name(StageKind kind) { return kind == StageKind::kDefend ? "defend" : "attack"; }

std::unique_ptr<Objective> make_objective(const StageSpec& spec, const std::string& who = "spec") {
  const char* what = spec.kind == StageKind::kDefend ? "defence" : "attack";
  return find_entry(entries_of(spec.kind), what, spec.method, who).make(spec.options);
}

/// What stands in the spec and the bytes that it names: the identity of a run.
std::string spec_hash(const Json& spec, const Json& inputs) {
  return sha256(to_line({{"spec", spec}, {"inputs", inputs}}));
}

/// What somebody who answers prompts himself can be paid for.
Rewards rewards_for(const Domain& domain, const std::string& split, const Json& method_options,
                    const ModelOptions& compute) {
  Rewards rewards = domain_rewards(domain, split);
  const auto command = method_options.value("reward_command", std::vector<std::string>());
  if (!command.empty())
    rewards["external"] = external_reward(command, method_options.at("reward_patience").get<double>());
  const auto model = method_options.value("reward_model", std::string());
  if (!model.empty())
    rewards["model"] = model_reward(model, method_options.at("reward_label").get<std::string>(), compute);
  return rewards;
}

/// What the stage will need at its peak, said before it starts.
int64_t forecast(const StageSpec& spec, const Model& model, const Objective& objective) {
  const int64_t rows =
      spec.train.micro_batch > 0 ? std::min(spec.train.micro_batch, spec.train.batch) : spec.train.batch;
  constexpr int64_t kUsualRow = 96, kUsualPrompt = 48;  // tokens of a chat row, for the activations
  int64_t tokens = rows * std::min(spec.train.longest, kUsualRow), labels = tokens / 2, cache = 0;
  if (const Objective::Answers answers = objective.answers(); answers.samples > 0) {
    labels = rows * answers.samples * answers.tokens;
    tokens = rows * kUsualPrompt + labels;
    cache = Decoder::cache_bytes(model, std::min(spec.train.batch * answers.samples, kRolloutSlots),
                                 kUsualPrompt + answers.tokens);
  }
  const bool lora = spec.train.lora_rank > 0;  // keeps the weights that it started from, and small factors
  const int64_t copies = objective.weight_copies() + /*clean model*/ 1 + /*decoding copy*/ 1 + (lora ? 1 : 0);
  const ModelConfig& c = model.config();
  const int64_t logits = labels * c.vocabulary * int64_t{sizeof(float)};
  const int64_t probabilities = objective.reads_every_layer()
                                    ? std::min((c.layers + 1) * logits, kKeptOfAllStates)
                                    : std::min(logits, kKeptProbabilities);
  return predicted_memory(c, model.compute_dtype(), lora ? 0 : optimizer_moments(spec.train), copies, tokens,
                          probabilities) +
         cache;
}

}  // namespace

std::vector<const Entry*> entries_of(StageKind kind) {
  return kind == StageKind::kDefend ? all_defences() : all_attacks();
}

const std::vector<std::string>& stage_keys() {
  static const std::vector<std::string> keys = {
      "model", "method",     "domain", "options", "train", "evaluate",   "clean_model",
      "data",  "irrelevant", "seed",   "device",  "dtype", "keep_model", "stop_at_useful_rate"};
  return keys;
}

StageSpec read_stage_spec(StageKind kind, const Json& json, const std::string& who) {
  if (!json.is_object()) throw UserError("{}: a spec is an object with the keys {}", who, join(stage_keys()));
  const std::vector<std::string>& keys = stage_keys();
  for (const auto& [key, value] : json.items()) {
    if (std::find(keys.begin(), keys.end(), key) == keys.end()) throw unknown_name(who, "key", key, keys);
  }
  const auto part = [&](const char* key) { return json.contains(key) ? json[key] : Json(); };
  StageSpec spec;
  spec.kind = kind;
  spec.model = required<std::string>(json, "model", who);
  spec.clean_model = optional<std::string>(json, "clean_model", who, spec.model.string());
  spec.domain = required<std::string>(json, "domain", who);
  spec.method = required<std::string>(json, "method", who);
  spec.options = optional<Json>(json, "options", who, Json::object());
  read_options(spec.train, part("train"), who + ": train");
  read_options(spec.evaluate, part("evaluate"), who + ": evaluate");
  read_options(spec.data, part("data"), who + ": data");
  read_options(spec.irrelevant, part("irrelevant"), who + ": irrelevant");
  spec.seed = optional<int64_t>(json, "seed", who, 0);
  spec.compute.device = optional<std::string>(json, "device", who, "auto");
  spec.compute.dtype = optional<std::string>(json, "dtype", who, "auto");
  spec.keep_model = optional<bool>(json, "keep_model", who, true);
  if (kind == StageKind::kAttack) {
    spec.stop_at_useful_rate = optional<double>(json, "stop_at_useful_rate", who, 1);
    if (!(spec.stop_at_useful_rate >= 0 && spec.stop_at_useful_rate <= 1))
      throw UserError("{}: 'stop_at_useful_rate' is {}, want a share from 0 to 1", who,
                      to_line(json["stop_at_useful_rate"]));
    if (spec.evaluate.categories.empty()) spec.evaluate.categories = spec.data.categories;
    const auto data = optional<std::string>(spec.options, "data", who, "");
    if (spec.evaluate.task.empty() && names_a_task(data)) spec.evaluate.task = data;
  } else if (json.contains("stop_at_useful_rate")) {
    throw UserError("{}: 'stop_at_useful_rate' is for attacks; a defence runs to its end", who);
  }
  const auto objective = make_objective(spec, who);
  objective->check_training(spec.train, who);
  if (objective->needs_fp32()) {
    if (spec.compute.dtype == "bf16")
      throw UserError(
          "{}: dtype is bf16, and {} takes differences of gradients, which drown in its rounding; want auto "
          "or fp32, or "
          "options.hessian: exact",
          who, spec.method);
    if (spec.compute.dtype == "auto") spec.compute.dtype = "fp32";
  }
  return spec;
}

void check_names(const StageSpec& spec, const Domain& domain) {
  const auto objective = make_objective(spec);
  check_streams(objective->streams(), domain, spec.data, objective->options());
  of_categories(of_split(domain.restricted, split_of(spec.kind)), spec.data.categories, "data");
  evaluation_data(domain, spec.evaluate);
}

Json write_stage_spec(const StageSpec& spec) {
  Json json = {{"kind", kind_name(spec.kind)},
               {"model", spec.model.string()},
               {"clean_model", spec.clean_model.string()},
               {"domain", spec.domain.string()},
               {"method", spec.method},
               {"options", make_objective(spec)->options()},
               {"train", write_options(spec.train)},
               {"evaluate", write_options(spec.evaluate)},
               {"data", write_options(spec.data)},
               {"irrelevant", write_options(spec.irrelevant)},
               {"seed", spec.seed},
               {"device", spec.compute.device},
               {"dtype", spec.compute.dtype},
               {"keep_model", spec.keep_model}};
  if (spec.kind == StageKind::kAttack) json["stop_at_useful_rate"] = spec.stop_at_useful_rate;
  return json;
}

Json run_stage(const StageSpec& spec, const fs::path& out, const Evaluated* at_rest) {
  restart_peak_memory();  // before there is a run directory, which notes it at once
  const std::string title = fmt::format("{} {}", kind_name(spec.kind), spec.method);
  const Domain domain = load_domain(spec.domain);
  const Json resolved = write_stage_spec(spec);
  Json inputs = domain.hashes;
  inputs[spec.model.string()] = ModelFolder::open(spec.model).sha256();
  if (!spec.irrelevant.embeddings.empty())
    inputs[spec.irrelevant.embeddings] = ModelFolder::open(spec.irrelevant.embeddings).sha256();
  if (spec.clean_model != spec.model)
    inputs[spec.clean_model.string()] = ModelFolder::open(spec.clean_model).sha256();

  const std::string hash = spec_hash(resolved, inputs);
  // Younger than the hash, so that runs from before are still known: these must be as they were all the same.
  add_text_hashes(spec.model, inputs);
  inputs[spec.domain.string()] = sha256_file(spec.domain);
  const std::unique_ptr<Objective> objective = make_objective(spec);
  for (const std::string& path : objective->input_files())
    inputs[path] = fs::is_directory(path) ? ModelFolder::open(path).sha256() : sha256_file(path);
  Json start = {{"kind", kind_name(spec.kind)},  {"spec", resolved},
                {"seeds", {spec.seed}},          {"inputs", inputs},
                {"parent", spec.model.string()}, {"threads", at::get_num_threads()}};
  std::optional<RunDir> opened;
  if (fs::exists(out)) opened.emplace(RunDir::create_or_resume(out, hash, start));
  if (opened && opened->finished()) {
    say("{}: {} is finished already and used as it is", title, out.string());
    std::error_code ignored;
    fs::remove_all(opened->state(), ignored);  // of a process that was stopped between its last two lines
    return opened->manifest();
  }
  try {
    // All that can be wrong with the input is found before a new directory is made.
    const auto seed = static_cast<uint64_t>(spec.seed);
    const std::string split = split_of(spec.kind);
    const StreamExamples examples =
        stream_examples(objective->streams(), domain, split, spec.data, spec.irrelevant, objective->options(),
                        seed, spec.compute);
    const auto model = Model::load(spec.model, spec.compute);
    const std::shared_ptr<const Model> clean = Model::load(spec.clean_model, spec.compute);
    restart_peak_device_memory(model->device());
    const ChatEncoder encoder = ChatEncoder::load(spec.model);
    objective->use_rewards([&] { return rewards_for(domain, split, resolved["options"], spec.compute); });
    objective->prepare(*model, encoder.tokenizer());
    const int64_t longest_prompt =
        std::min(spec.train.longest, model->config().context - objective->answers().tokens);
    auto streams = make_streams(examples, encoder, spec.train.longest, longest_prompt, seed);
    const Evaluation evaluation(evaluation_data(domain, spec.evaluate), encoder, clean, spec.evaluate);

    if (!opened) opened.emplace(RunDir::create_or_resume(out, hash, start));
    RunDir& run = *opened;
    if (!examples.pairs.empty()) write_pairs(examples.pairs, out / "irrelevant-pairs.jsonl");
    const int64_t predicted = forecast(spec, *model, *objective);
    run.update_manifest({{"device", model->device().str()},
                         {"dtype", model->compute_dtype() == at::kFloat ? "fp32" : "bf16"},
                         {"predicted_memory_bytes", predicted}});
    say("{}: {} -> {}; {} steps of {} rows, {} on {}, about {} of memory", title, spec.model.string(),
        out.string(), spec.train.steps, spec.train.batch, run.manifest()["dtype"].get<std::string>(),
        model->device().str(), human_bytes(static_cast<double>(predicted)));

    MetricsWriter metrics(run.metrics(), checkpoint_steps(run.state()));
    for (const auto& list : {training_numbers(), objective->logged(), Evaluation::declarations()}) {
      for (const MetricDeclaration& declaration : list) metrics.declare(declaration);
    }
    TrainHooks hooks;
    hooks.title = title;
    hooks.due = [&](int64_t steps) {
      const auto& at = spec.evaluate.at;
      return steps == spec.train.steps || std::find(at.begin(), at.end(), steps) != at.end();
    };
    bool attacker_is_done = false;
    hooks.evaluate = [&](int64_t steps) {
      const Evaluated evaluated = steps == 0 && at_rest != nullptr ? *at_rest : evaluation.run(*model);
      write_samples(run.samples(), steps, evaluated.samples);
      metrics.write(steps, "eval", evaluated.numbers);
      std::string line;
      for (const auto& [name, value] : evaluated.numbers) {
        if (name == "refusal_rate" || name == "harm_rate_lexicon" || name == "ability" ||
            name == "benign_nll")
          line += fmt::format("{} {:.3f}  ", name, value);
        if (name == "useful_rate") attacker_is_done = value > spec.stop_at_useful_rate;
      }
      say("{}  evaluated after step {}: {}", title, steps, line);
      if (attacker_is_done) say("{}: the attacker has what he wants and stops", title);
    };
    hooks.enough = [&] { return attacker_is_done; };
    hooks.log = [&](int64_t steps, const TrainHooks::Numbers& numbers) {
      metrics.write(steps, "train", numbers);
    };
    const TrainTotals totals =
        train(*model, *objective, std::move(streams), spec.train, seed, run.state(), hooks);

    if (spec.keep_model && !fs::exists(run.model())) {
      write_model_folder(run.model(), model->config().source, generation_config(spec.model),
                         model->parameters(), text_files(spec.model));
    }
    for (const auto& [name, contents] : objective->artifacts()) write_file(out / name, contents);
    Json last = {{"totals",
                  {{"steps", totals.steps},
                   {"rows", totals.rows},
                   {"tokens", totals.tokens},
                   {"forward_passes", totals.forward_passes},
                   {"backward_passes", totals.backward_passes},
                   {"seconds", totals.seconds}}}};
    if (!model->device().is_cpu()) last["peak_device_memory_bytes"] = peak_device_memory(model->device());
    run.finish(last);
    fs::remove_all(run.state());  // the run is over: its checkpoint has nothing to resume
    return run.manifest();
  } catch (const std::exception& error) {
    if (opened) opened->fail(explained(error).value_or(error.what()));
    throw;
  }
}

}  // namespace caltrop
