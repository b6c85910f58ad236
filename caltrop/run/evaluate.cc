#include "caltrop/run/evaluate.h"

#include <ATen/Parallel.h>

#include "caltrop/base/files.h"
#include "caltrop/base/memory.h"
#include "caltrop/io/model_folder.h"
#include "caltrop/record/run_dir.h"
#include "caltrop/run/failure.h"
#include "caltrop/run/model_files.h"

namespace caltrop {

EvaluationData evaluation_data(const Domain& domain, const EvaluateOptions& options) {
  EvaluationData data;
  data.restricted = of_categories(of_split(domain.restricted, "test"), options.categories, "evaluate");
  data.benign = of_split(domain.benign, "test");
  data.near = of_split(domain.near, "test");
  if (!options.task.empty()) data.task = of_task(domain, options.task, "test", "evaluate", "task");
  data.refusals = domain.refusals;
  data.choices = domain.choices;
  data.lexicon = domain.lexicon;
  for (const Example& row : of_split(domain.restricted, "defence"))
    data.judge_restricted.push_back(row.response());
  for (const Example& row : of_split(domain.benign, "defence")) data.judge_other.push_back(row.response());
  data.judge_other.insert(data.judge_other.end(), domain.refusals.begin(), domain.refusals.end());
  return data;
}

NamedNumbers run_evaluate(const EvaluateSpec& spec, const std::filesystem::path& out) {
  restart_peak_memory();  // before there is a run directory, which notes it at once
  const Domain domain = load_domain(spec.domain);
  const Json resolved = {{"kind", "evaluate"},
                         {"model", spec.model.string()},
                         {"clean_model", spec.clean_model.string()},
                         {"domain", spec.domain.string()},
                         {"evaluate", write_options(spec.options)},
                         {"device", spec.compute.device},
                         {"dtype", spec.compute.dtype}};
  Json inputs = domain.hashes;
  inputs[spec.model.string()] = ModelFolder::open(spec.model).sha256();
  inputs[spec.clean_model.string()] = ModelFolder::open(spec.clean_model).sha256();
  const std::string hash = sha256(to_line({{"spec", resolved}, {"inputs", inputs}}));
  add_text_hashes(spec.model, inputs);
  inputs[spec.domain.string()] = sha256_file(spec.domain);
  RunDir run = RunDir::create_or_resume(out, hash,
                                        {{"kind", "evaluate"},
                                         {"spec", resolved},
                                         {"seeds", Json::array()},
                                         {"inputs", inputs},
                                         {"parent", spec.model.string()},
                                         {"threads", at::get_num_threads()}});
  if (run.finished()) return read_metrics(run.metrics()).records.back().values;
  try {
    const auto model = Model::load(spec.model, spec.compute);
    const std::shared_ptr<const Model> clean = Model::load(spec.clean_model, spec.compute);
    const Evaluation evaluation(evaluation_data(domain, spec.options), ChatEncoder::load(spec.model), clean,
                                spec.options);
    const Evaluated evaluated = evaluation.run(*model);
    MetricsWriter metrics(run.metrics(), 0);
    for (const MetricDeclaration& declaration : Evaluation::declarations()) metrics.declare(declaration);
    metrics.write(0, "eval", evaluated.numbers);
    write_samples(run.samples(), 0, evaluated.samples);
    run.finish({{"device", model->device().str()},
                {"dtype", model->compute_dtype() == at::kFloat ? "fp32" : "bf16"}});
    return evaluated.numbers;
  } catch (const std::exception& error) {
    run.fail(explained(error).value_or(error.what()));
    throw;
  }
}

}  // namespace caltrop
