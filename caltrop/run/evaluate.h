// `caltrop evaluate`: one model measured once, as a run directory. Tested by tests/e2e.
#pragma once

#include <filesystem>

#include "caltrop/eval/evaluation.h"
#include "caltrop/run/domain.h"

namespace caltrop {

/// The material of an evaluation from a domain: what is asked comes from the split "test", what the
/// classifier judge learns from comes from "defence". Throws UserError for an unknown category or task.
EvaluationData evaluation_data(const Domain& domain, const EvaluateOptions& options);

struct EvaluateSpec {
  std::filesystem::path model, clean_model, domain;
  EvaluateOptions options;
  ModelOptions compute;
};

/// Measures and returns the numbers; the directory holds them and every generation. Throws UserError.
NamedNumbers run_evaluate(const EvaluateSpec& spec, const std::filesystem::path& out);

}  // namespace caltrop
