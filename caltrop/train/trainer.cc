#include "caltrop/train/trainer.h"

#include <chrono>
#include <cmath>

#include <ATen/ATen.h>

#include "caltrop/base/error.h"
#include "caltrop/base/log.h"
#include "caltrop/base/memory.h"
#include "caltrop/data/micro_batches.h"
#include "caltrop/train/checkpoint.h"

namespace caltrop {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Drawn {
  Step::Batches batches;
  std::map<std::string, std::vector<TokenRow>> kept;
  int64_t rows = 0, tokens = 0;
};

int64_t rows_at_once(const TrainOptions& options) {
  return options.micro_batch > 0 ? options.micro_batch : options.batch;
}

Drawn draw(const Objective& objective, std::map<std::string, Stream>& streams, const TrainOptions& options,
           at::Device device) {
  Drawn drawn;
  for (const std::string& name : objective.streams()) {
    drawn.kept[name] = streams.at(name).draw(options.batch);
    drawn.batches[name] =
        micro_batches(drawn.kept[name], rows_at_once(options), device, objective.beginnings());
    for (const Batch& batch : drawn.batches[name]) drawn.rows += batch.rows, drawn.tokens += batch.row_tokens;
  }
  return drawn;
}

void clear_gradients(const Model& model) {
  for (const auto& [name, parameter] : model.parameters()) {
    const Tensor handle = parameter;
    handle.mutable_grad() = Tensor();
  }
}

/// How `.grad` is to be clipped to `limit` (0: not at all). Throws if its norm is not finite.
Clipping finite_clipping(const NamedTensors& trained, double limit, int64_t step) {
  Gradients gradients;
  for (const auto& [name, parameter] : trained) {
    if (parameter.grad().defined()) gradients.push_back(parameter.grad());
  }
  CALTROP_ASSERT(!gradients.empty(), "the objective added no gradient at step {}", step);
  const Clipping clipped = clipping(gradients, limit);
  if (!std::isfinite(clipped.norm)) {
    for (const auto& [name, parameter] : trained) {
      if (parameter.grad().defined() && !at::isfinite(parameter.grad()).all().item<bool>()) {
        throw UserError(
            "train: at step {} the gradient of {} is not finite; the weights are as they were before this "
            "step "
            "(a learning rate or a loss weight that is too large?)",
            step, name);
      }
    }
    throw UserError("train: at step {} the norm of all gradients overflows", step);
  }
  return clipped;
}

}  // namespace

std::vector<MetricDeclaration> training_numbers() {
  return {
      {"gradient_norm", "", "", "norm of the gradient of all parameters before clipping"},
      {"learning_rate", "", "", "learning rate of the step"},
      {"tokens_per_second", "1/s", "higher", "tokens of the rows seen in the training section, per second"},
      {"seconds", "s", "lower", "time spent in the training section since the start of the run"},
      {"memory", "bytes", "lower", "peak resident memory of the run"}};
}

TrainTotals train(const Model& model, Objective& objective, std::map<std::string, Stream> streams,
                  const TrainOptions& options, uint64_t seed, const std::filesystem::path& state,
                  const TrainHooks& hooks) {
  TrainableWeights weights(model, options, RandomStream(seed, "LoRA"));
  const std::unique_ptr<Optimizer> optimizer = make_optimizer(options, weights.tensors(), weights.model());
  TrainTotals totals = load_checkpoint(state, weights, *optimizer, objective);
  for (const std::string& name : objective.streams()) streams.at(name).seek(totals.steps * options.batch);
  if (totals.steps > 0) say("{}: resumed after step {}", hooks.title, totals.steps);

  const auto others = [&](const std::string& name, const RandomStream& random) {
    Step::Drawn drawn{streams.at(name).sample(options.batch, random), {}};
    drawn.batches = micro_batches(drawn.rows, rows_at_once(options), model.device(), objective.beginnings());
    return drawn;
  };

  for (;;) {
    if (totals.steps >= options.steps) {  // before the last evaluation, which is of the model as it leaves
      Step last(totals.steps, seed, model, {}, others);
      objective.finish(last);
    }
    if (hooks.due(totals.steps)) {
      hooks.evaluate(totals.steps);
      if (hooks.enough()) break;
    }
    if (totals.steps >= options.steps) break;

    // ---- training section ----
    const auto start = Clock::now();
    Drawn drawn = draw(objective, streams, options, model.device());
    clear_gradients(model);
    Step step(totals.steps, seed, model, std::move(drawn.batches), others);
    step.keep_rows(std::move(drawn.kept));
    const Scalars scalars = objective.add_gradients(step);
    weights.take_gradients();
    const auto [norm, scale] = finite_clipping(weights.tensors(), options.clip, totals.steps);
    const double rate = learning_rate(options, totals.steps, options.steps);
    optimizer->step(rate, scale);
    weights.apply();
    const double seconds = seconds_since(start);
    // ---- everything below is diagnostics ----

    totals.steps += 1, totals.rows += drawn.rows, totals.tokens += drawn.tokens, totals.seconds += seconds;
    totals.forward_passes += step.forward_passes(), totals.backward_passes += step.backward_passes();
    if (totals.steps % options.log_every == 0 || totals.steps == options.steps) {
      TrainHooks::Numbers numbers;
      std::string line;
      for (const auto& [name, value] : scalars) {
        numbers.emplace_back(name, value.item<double>());
        line += fmt::format("{} {:.4g}  ", name, numbers.back().second);
      }
      const double speed = static_cast<double>(drawn.tokens) / seconds;
      const double left = totals.seconds / static_cast<double>(totals.steps) *
                          static_cast<double>(options.steps - totals.steps);
      numbers.insert(numbers.end(), {{"gradient_norm", norm},
                                     {"learning_rate", rate},
                                     {"tokens_per_second", speed},
                                     {"seconds", totals.seconds},
                                     {"memory", static_cast<double>(peak_memory())}});
      say("{}  step {}/{}  {}norm {:.3g}  {:.0f} tokens/s  {}  left {}", hooks.title, totals.steps,
          options.steps, line, norm, speed, human_bytes(static_cast<double>(peak_memory())),
          human_seconds(left));
      show_progress(hooks.title, totals.steps, options.steps, "left " + human_seconds(left));
      hooks.log(totals.steps, numbers);
    }
    if (options.save_every > 0 && totals.steps % options.save_every == 0 && totals.steps < options.steps) {
      save_checkpoint(state, weights, *optimizer, objective, totals);
    }
  }
  clear_progress();
  clear_gradients(model);
  return totals;
}

}  // namespace caltrop
