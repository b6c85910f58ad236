#include "caltrop/run/prove.h"

#include <algorithm>
#include <map>
#include <memory>

#include "caltrop/base/error.h"
#include "caltrop/base/files.h"
#include "caltrop/base/log.h"
#include "caltrop/run/evaluate.h"
#include "caltrop/run/proof_spec.h"
#include "caltrop/run/verdict.h"

namespace caltrop {
namespace {

namespace fs = std::filesystem;

/// The models of the grid: the undefended one, then each defended one; each in models/<name>.
class Models {
 public:
  Models(const ProofSpec& spec, const fs::path& out) : spec_(spec), out_(out) {}

  /// Makes what is missing. A defence that fails takes its cells with it; the others go on.
  void make() {
    if (spec_.align.empty()) {
      take("undefended", spec_.model);
    } else {
      defend(spec_.align.front(), spec_.model);
    }
    for (const NamedStage& defence : spec_.defences) {
      try {
        if (!defence.folder.empty()) {
          take(defence.name, defence.folder);
          continue;
        }
        const std::string from = defence.after.empty() ? "undefended" : defence.after;
        if (errors_.contains(from)) throw UserError("it begins with the model of {}, which failed", from);
        defend(defence, folders_.at(from));
      } catch (const UserError& error) {
        warn("defence {} failed: {}", defence.name, error.what());
        errors_[defence.name] = error.what();
      }
    }
  }

  const std::vector<ProofModelRun>& runs() const { return runs_; }
  const fs::path& folder(const std::string& name) const { return folders_.at(name); }
  /// Name of each model that could not be made, and why.
  const std::map<std::string, std::string>& errors() const { return errors_; }

 private:
  /// A model that exists already.
  void take(const std::string& name, const fs::path& folder) {
    const StageSpec& like = spec_.attacks.front().spec;
    run_evaluate({folder, spec_.model, spec_.domain, like.evaluate, like.compute}, out_ / "models" / name);
    runs_.push_back({name, "models/" + name, nullptr});
    folders_[name] = folder;
  }

  void defend(const NamedStage& stage, const fs::path& from) {
    const std::string run = "models/" + stage.name;
    specs_.push_back(std::make_unique<StageSpec>(stage.spec));
    specs_.back()->model = from;
    specs_.back()->seed = spec_.seeds.front();
    run_stage(*specs_.back(), out_ / run);
    runs_.push_back({stage.name, run, specs_.back().get(), stage.after});
    folders_[stage.name] = out_ / run / "model";
  }

  const ProofSpec& spec_;
  const fs::path& out_;
  std::vector<std::unique_ptr<StageSpec>> specs_;
  std::vector<ProofModelRun> runs_;
  std::map<std::string, fs::path> folders_;
  std::map<std::string, std::string> errors_;
};

std::string cell_id(const std::string& model, const std::string& attack, int64_t seed) {
  return fmt::format("{}/{}/seed-{}", model, attack, seed);
}

/// The stage that a cell runs. Every cell is evaluated at step 0 too: that is the model at rest.
StageSpec cell_spec(const AttackSpec& attack, const fs::path& model, int64_t seed) {
  StageSpec spec = attack.spec;
  spec.model = model;
  spec.seed = seed;
  auto& at = spec.evaluate.at;
  if (std::find(at.begin(), at.end(), 0) == at.end()) at.insert(at.begin(), 0);
  return spec;
}

/// Whether two evaluations of one model find the same numbers: their options agree but for the steps.
bool same_measurement(const EvaluateOptions& a, EvaluateOptions b) {
  b.at = a.at;
  return write_options(a) == write_options(b);
}

}  // namespace

ProofResult prove(const Json& json, const std::string& source, const fs::path& out,
                  const std::string& command) {
  const ProofSpec spec = read_proof_spec(json, source);
  fs::create_directories(out);
  Models models(spec, out);
  models.make();

  ProofResult result;
  std::vector<ProofCell> cells;
  const auto total =
      static_cast<int64_t>((1 + spec.defences.size()) * spec.attacks.size() * spec.seeds.size());
  const auto add = [&](const std::string& model, const AttackSpec& attack, int64_t seed) -> ProofCell& {
    const std::string id = cell_id(model, attack.name, seed);
    cells.push_back({id, model, "cells/" + id, &attack, seed, ""});
    ++result.cells;
    return cells.back();
  };
  const auto write_verdict = [&] {
    write_file(out / "verdict.json", to_pretty(make_verdict(spec, out, models.runs(), cells, command)));
  };
  std::map<std::string, Evaluated> at_rest;
  for (const ProofModelRun& model : models.runs()) at_rest[model.name] = last_evaluation(out / model.run);
  // One attack after the other, so that models can be compared early.
  for (const AttackSpec& attack : spec.attacks) {
    for (const ProofModelRun& model : models.runs()) {
      for (const int64_t seed : spec.seeds) {
        ProofCell& cell = add(model.name, attack, seed);
        say("prove: cell {} of {}: {}", result.cells, total, cell.id);
        try {
          const bool goes_on = !attack.after.empty();
          const StageSpec stage =
              cell_spec(attack,
                        goes_on ? out / "cells" / cell_id(model.name, attack.after, seed) / "model"
                                : models.folder(model.name),
                        seed);
          const EvaluateOptions& of_model =
              model.spec != nullptr ? model.spec->evaluate : spec.attacks.front().spec.evaluate;
          const bool is_measured = !goes_on && same_measurement(of_model, stage.evaluate);
          run_stage(stage, out / cell.run, is_measured ? &at_rest.at(model.name) : nullptr);
        } catch (const UserError& error) {
          warn("cell {} failed: {}", cell.id, error.what());
          cell.error = error.what();
          ++result.failed;
        }
        write_verdict();  // what is known so far: a long proof can be looked at while it runs
      }
    }
  }
  for (const auto& [name, why] : models.errors()) {
    for (const AttackSpec& attack : spec.attacks) {
      for (const int64_t seed : spec.seeds) {
        add(name, attack, seed).error = "its model could not be made: " + why;
        ++result.failed;
      }
    }
  }
  write_verdict();
  if (result.failed > 0) warn("{} of {} cells failed; verdict.json names them", result.failed, result.cells);
  return result;
}

}  // namespace caltrop
