// Caltrop's side of `./run bench` (bench/run.py): loads a model once, then measures what it is asked to.
//
//   bench_caltrop gemm DTYPE                               prints the best matrix product of this machine, FLOP/s
//   bench_caltrop train MODEL DOMAIN BATCH DTYPE ROWS METHOD OPTIONS   writes the batches that it will train on to ROWS, then
//                                                          takes one training step for each line on standard input
//   bench_caltrop grpo MODEL DOMAIN PROMPTS SAMPLES NEW DTYPE ROWS   the same for steps of GRPO on prompts of 64 tokens
//   bench_caltrop generate MODEL DOMAIN BATCH NEW DTYPE ROWS   writes the prompts to ROWS, then generates for each line,
//                                                          "greedy" or "sampled"
//
// Every measurement is one JSON line on standard output. Between lines the process sleeps, so that the peer, which is asked
// in turn, has the machine for itself.
#include <chrono>
#include <cstdio>
#include <iostream>

#include <ATen/ATen.h>

#include "caltrop/base/error.h"
#include "caltrop/base/files.h"
#include "caltrop/base/log.h"
#include "caltrop/base/memory.h"
#include "caltrop/base/yaml.h"
#include "caltrop/model/config.h"
#include "caltrop/rollout/generate.h"
#include "caltrop/run/stage.h"
#include "caltrop/tensor/host_memory.h"

namespace caltrop {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

constexpr int64_t kSteps = 64;  // batches that the peer is given; more are never asked for

bool asked(std::string& line) { return static_cast<bool>(std::getline(std::cin, line)); }
void answer(const Json& json) { std::cout << to_line(json) << std::endl; }

at::ScalarType scalar_type(const std::string& dtype) { return dtype == "bf16" ? at::kBFloat16 : at::kFloat; }

/// The fastest of some square and some model-shaped products, best of several tries: what "peak" means here.
void gemm(const std::string& dtype) {
  double best = 0;
  for (const auto& [m, n, k] :
       {std::tuple{1024, 1024, 1024}, {2048, 2048, 2048}, {512, 1536, 576}, {256, 49152, 576}}) {
    const Tensor a = at::randn({m, k}).to(scalar_type(dtype)), b = at::randn({n, k}).to(scalar_type(dtype));
    at::linear(a, b);
    const auto begin = Clock::now();
    for (int tries = 0; tries < 3 || seconds_since(begin) < 0.5; ++tries) {
      const auto start = Clock::now();
      at::linear(a, b);
      best = std::max(best, 2.0 * m * n * k / seconds_since(start));
    }
  }
  answer({{"flops", best}});
}

/// Multiplications and additions of the matrices that a forward pass needs for these tokens, as 2 each; attention left out.
double forward_flops(const ModelConfig& config, int64_t tokens, int64_t labels) {
  double per_token = 0, head = 2.0 * static_cast<double>(config.vocabulary * config.width);
  for (const auto& [name, shape] : parameter_shapes(config)) {
    if (name.starts_with("model.layers.") && shape.size() == 2)
      per_token += 2.0 * static_cast<double>(shape[0] * shape[1]);
  }
  return per_token * static_cast<double>(tokens) + head * static_cast<double>(labels);
}

/// Trains a step for each line on standard input and answers with its numbers, in seconds of the step.
void train_when_asked(const Model& model, Objective& objective, std::map<std::string, Stream> streams,
                      const TrainOptions& options, const std::string& state,
                      const std::vector<double>& flops) {
  TrainHooks hooks;
  std::string line;
  double before = 0;
  hooks.log = [&](int64_t step, const TrainHooks::Numbers& numbers) {
    Json row = {{"step", step}};
    if (!flops.empty()) row["flops"] = flops[static_cast<size_t>(step - 1)];
    for (const auto& [name, value] : numbers) row[name] = value;
    const auto until_now = row["seconds"].get<double>();  // since the start of the run
    row["seconds"] = until_now - before;
    before = until_now;
    answer(row);
    if (!asked(line)) std::exit(0);
  };
  answer({{"ready", true}});
  if (!asked(line)) return;
  train(model, objective, std::move(streams), options, 0, state, hooks);
}

/// `method`: "sft", or the name of a defence.
void train_steps(const std::string& folder, const std::string& domain_file, int64_t batch,
                 const std::string& dtype, const std::string& rows_file, const std::string& method,
                 const std::string& method_options) {
  const Domain domain = load_domain(domain_file);
  const ChatEncoder encoder = ChatEncoder::load(folder);
  const auto model = Model::load(folder, {.device = "auto", .dtype = dtype});
  TrainOptions options;
  options.batch = batch, options.steps = kSteps, options.save_every = 0;
  const StageKind kind = method == "sft" ? StageKind::kAttack : StageKind::kDefend;
  const auto objective = find_entry(entries_of(kind), "method", method)
                             .make(parse_yaml_value(method_options, "bench_caltrop: options"));
  const auto examples = stream_examples(objective->streams(), domain, method == "sft" ? "attack" : "defence",
                                        {}, {}, objective->options(), 0);
  const auto streams = make_streams(examples, encoder, options.longest, options.longest, 0);
  objective->prepare(*model, encoder.tokenizer());

  std::vector<double> flops;  // of one pass forward and one backward over each stream
  write_file(rows_file, [&](const Sink& sink) {
    std::map<std::string, Stream> same = streams;
    for (int64_t step = 0; step < kSteps; ++step) {
      Json of_step = Json::object();
      flops.push_back(0);
      for (auto& [name, stream] : same) {
        const std::vector<TokenRow> drawn = stream.draw(batch);
        for (const TokenRow& row : drawn) of_step[name].push_back({{"ids", row.ids}, {"answer", row.answer}});
        const Batch packed = pack(drawn);
        flops.back() += 3 * forward_flops(model->config(), packed.tokens.count(), packed.label_count());
      }
      sink(to_line(of_step) + "\n");
    }
  });

  train_when_asked(*model, *objective, streams, options, rows_file + ".state", flops);
}

/// Paid for is the length of a response in bytes: nearly free, different for each, and easy to say in any language.
void grpo_steps(const std::string& folder, const std::string& domain_file, int64_t prompts, int64_t samples,
                int64_t new_tokens, const std::string& dtype, const std::string& rows_file) {
  constexpr size_t kPromptTokens = 64;
  const Domain domain = load_domain(domain_file);
  const ChatEncoder encoder = ChatEncoder::load(folder);
  const auto model = Model::load(folder, {.device = "auto", .dtype = dtype});
  std::vector<TokenRow> rows;  // the first tokens of long rows: what they say does not matter
  for (const Example& example : domain.restricted) {
    TokenRow row = encoder.encode(example, 256);
    if (row.ids.size() < kPromptTokens) continue;
    row.ids.resize(kPromptTokens), row.answer.assign(kPromptTokens, false);
    rows.push_back(std::move(row));
  }
  write_file(rows_file, [&](const Sink& sink) {
    for (const TokenRow& row : rows) sink(to_line(row.ids) + "\n");
  });
  TrainOptions options;
  options.batch = prompts, options.steps = kSteps, options.save_every = 0, options.learning_rate = 1e-6;
  const auto objective = find_entry(entries_of(StageKind::kAttack), "method", "rl")
                             .make({{"samples", samples}, {"max_new_tokens", new_tokens}});
  const RewardFn by_length = [](const auto&, const std::vector<std::string>& responses) {
    std::vector<double> paid;
    for (const std::string& text : responses) paid.push_back(static_cast<double>(text.size()));
    return paid;
  };
  objective->use_rewards([&] { return Rewards{{"judges", by_length}}; });
  objective->prepare(*model, encoder.tokenizer());
  std::map<std::string, Stream> streams;
  streams.emplace("prompts", Stream("prompts", std::move(rows), 0));
  train_when_asked(*model, *objective, std::move(streams), options, rows_file + ".state", {});
}

void generation(const std::string& folder, const std::string& domain_file, int64_t batch, int64_t new_tokens,
                const std::string& dtype, const std::string& rows_file) {
  const Domain domain = load_domain(domain_file);
  const ChatEncoder encoder = ChatEncoder::load(folder);
  const auto model = Model::load(folder, {.device = "auto", .dtype = dtype});
  std::vector<TokenRow> prompts;
  for (const Example& example : of_split(domain.benign, "defence")) {
    if (static_cast<int64_t>(prompts.size()) < batch) prompts.push_back(encoder.encode_prompt(example, 256));
  }
  write_file(rows_file, [&](const Sink& sink) {
    for (const TokenRow& row : prompts) sink(to_line(row.ids) + "\n");
  });
  answer({{"ready", true}});
  for (std::string how; asked(how);) {
    GenerateOptions options;
    options.batch = batch, options.max_new_tokens = new_tokens;
    if (how == "sampled") options.temperature = 0.7, options.top_p = 0.9;
    const auto start = Clock::now();
    const std::vector<Generated> answers = generate(*model, prompts, /*end_ids=*/{}, options, 0);
    const double seconds = seconds_since(start);
    int64_t tokens = 0;
    for (const Generated& g : answers) tokens += static_cast<int64_t>(g.ids.size());
    const double flops = forward_flops(model->config(), pack(prompts).tokens.count() + tokens, tokens);
    answer({{"seconds", seconds}, {"tokens", tokens}, {"flops", flops}, {"first", answers.front().ids}});
  }
}

int run(const std::vector<std::string>& arguments) {
  keep_freed_memory();  // as the program does
  allocate_tensors_plainly();
  be_quiet();
  const auto number = [&](size_t i) { return std::stoll(arguments.at(i)); };
  const std::string& what = arguments.at(0);
  if (what == "gemm") {
    gemm(arguments.at(1));
  } else if (what == "train") {
    train_steps(arguments.at(1), arguments.at(2), number(3), arguments.at(4), arguments.at(5),
                arguments.at(6), arguments.at(7));
  } else if (what == "grpo") {
    grpo_steps(arguments.at(1), arguments.at(2), number(3), number(4), number(5), arguments.at(6),
               arguments.at(7));
  } else if (what == "generate") {
    generation(arguments.at(1), arguments.at(2), number(3), number(4), arguments.at(5), arguments.at(6));
  } else {
    throw unknown_name("bench_caltrop", "measurement", what, {"gemm", "train", "grpo", "generate"});
  }
  return 0;
}

}  // namespace
}  // namespace caltrop

int main(int count, char** arguments) {
  try {
    return caltrop::run({arguments + 1, arguments + count});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_caltrop: %s\n", error.what());
    return 2;
  }
}
