#include "caltrop/run/prove.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <thread>

#include "caltrop/base/error.h"
#include "caltrop/base/files.h"
#include "caltrop/base/log.h"
#include "caltrop/record/run_dir.h"
#include "caltrop/run/evaluate.h"
#include "caltrop/run/failure.h"
#include "caltrop/run/proof_spec.h"
#include "caltrop/run/verdict.h"

namespace caltrop {
namespace {

namespace fs = std::filesystem;

/// Attempts each of 0..count-1 until all are done. `attempt` returns false for what cannot be done yet, because another process is at
/// it or because it wants the result of such a one; the others go first then.
void in_turns(size_t count, const std::function<bool(size_t)>& attempt) {
  std::vector<size_t> left(count);
  std::iota(left.begin(), left.end(), size_t{0});
  while (!left.empty()) {
    std::vector<size_t> later;
    std::copy_if(left.begin(), left.end(), std::back_inserter(later), [&](size_t i) { return !attempt(i); });
    if (later.size() == left.size()) std::this_thread::sleep_for(std::chrono::milliseconds(500));
    left = std::move(later);
  }
}

/// Why a finished run may not stand for `stage`, which is to be judged; "" if it may. Where its model lies may have changed.
std::string other_recipe(const fs::path& run, const StageSpec& stage) {
  Json recorded = required<Json>(read_manifest(run), "spec", run.string());
  recorded.erase("model");
  const auto found = first_difference(recorded, write_stage_spec(stage), NewKeys::kIgnore);
  return found ? fmt::format("it was made with another '{}' than the proof asks for now", found->path) : "";
}

/// What has become of a run.
struct RunState {
  std::string status;  // as in ProofCell
  std::string error;   // of a failed one
};

RunState state_of(const fs::path& run) {
  if (is_running(run)) return {"running", ""};
  if (!is_run_dir(run)) return {"not begun", ""};
  if (is_finished_run(run)) return {"done", ""};
  const Json manifest = read_manifest(run);
  if (required<std::string>(manifest, "status", run.string()) != "failed") return {"interrupted", ""};
  return {"failed", optional<std::string>(manifest, "error", run.string(), "")};
}

/// The models of the grid: the undefended one, then each defended one; each in models/<name>.
class Models {
 public:
  Models(const ProofSpec& spec, const fs::path& out)
      : spec_(spec), out_(out), made_(1 + spec.defences.size()) {}

  /// Makes what is missing. A defence that fails takes its cells with it; the others go on.
  void make() {
    in_turns(made_.size(), [&](size_t i) {
      try {
        return i == 0 ? make_undefended() : make_defended(i, spec_.defences[i - 1]);
      } catch (const BusyRunDir&) {
        return false;
      }
    });
  }

  /// Takes those that are finished and makes none.
  void find() {
    for (size_t i = 0; i < made_.size(); ++i) {
      const std::string name = i == 0 ? "undefended" : spec_.defences[i - 1].name;
      const fs::path run = out_ / "models" / name;
      const auto [status, error] = state_of(run);
      if (status != "done") {
        warn("{}: left out with all its cells: it is not finished", run.string());
        absent_[name] = status == "failed"
                            ? RunState{"failed", "its model could not be made: " + error}
                            : RunState{"not begun", fmt::format("its model is not finished: {}", status)};
        continue;
      }
      const NamedStage* stage = i > 0                 ? &spec_.defences[i - 1]
                                : spec_.align.empty() ? nullptr
                                                      : &spec_.align.front();
      const bool was_given = stage == nullptr || !stage->folder.empty();
      if (!was_given) {
        StageSpec made = stage->spec;
        made.seed = spec_.seeds.front();
        if (const std::string why = other_recipe(run, made); !why.empty()) {
          warn("{}: left out: {}", run.string(), why);
          absent_[name] = {"left out", "its model: " + why};
          continue;
        }
      }
      made_[i] = {name, "models/" + name, was_given ? nullptr : &stage->spec, was_given ? "" : stage->after};
    }
    if (!made_.front())
      throw UserError("{}: there is no finished run models/undefended, without which nothing can be judged",
                      out_.string());
  }

  /// Those that could be made, in the order of the grid.
  std::vector<ProofModelRun> runs() const {
    std::vector<ProofModelRun> runs;
    for (const auto& run : made_)
      if (run) runs.push_back(*run);
    return runs;
  }
  const fs::path& folder(const std::string& name) const { return folders_.at(name); }
  /// Name of each model that is not there, and what that makes of its cells.
  const std::map<std::string, RunState>& absent() const { return absent_; }

 private:
  bool make_undefended() {
    if (spec_.align.empty()) {
      take(0, "undefended", spec_.model);
    } else {
      defend(0, spec_.align.front(), spec_.model);
    }
    return true;
  }

  bool make_defended(size_t place, const NamedStage& defence) {
    const std::string from = defence.after.empty() ? "undefended" : defence.after;
    const bool is_given = !defence.folder.empty();
    if (!is_given && !absent_.contains(from) && !folders_.contains(from)) return false;
    const std::string failure = failure_of([&] {
      if (is_given) {
        take(place, defence.name, defence.folder);
      } else if (absent_.contains(from)) {
        throw UserError("it begins with the model of {}, which failed", from);
      } else {
        defend(place, defence, folders_.at(from));
      }
    });
    if (!failure.empty()) {
      warn("defence {} failed: {}", defence.name, failure);
      absent_[defence.name] = {"failed", "its model could not be made: " + failure};
    }
    return true;
  }

  /// A model that exists already.
  void take(size_t place, const std::string& name, const fs::path& folder) {
    run_evaluate({folder, spec_.model, spec_.domain, spec_.evaluate, spec_.compute}, out_ / "models" / name);
    made_[place] = {name, "models/" + name, nullptr, ""};
    folders_[name] = folder;
  }

  void defend(size_t place, const NamedStage& stage, const fs::path& from) {
    const std::string run = "models/" + stage.name;
    auto spec = std::make_unique<StageSpec>(stage.spec);
    spec->model = from;
    spec->seed = spec_.seeds.front();
    make_folder(out_ / run);  // where the lock is: taken before the work, not after half of it
    run_stage(*spec, out_ / run);
    made_[place] = {stage.name, run, spec.get(), stage.after};
    folders_[stage.name] = out_ / run / "model";
    specs_.push_back(std::move(spec));
  }

  const ProofSpec& spec_;
  const fs::path& out_;
  std::vector<std::unique_ptr<StageSpec>> specs_;
  std::vector<std::optional<ProofModelRun>> made_;
  std::map<std::string, fs::path> folders_;
  std::map<std::string, RunState> absent_;
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

/// What an evaluation's numbers depend on beside the model.
Json measurement(EvaluateOptions options, const fs::path& domain, const ModelOptions& compute) {
  options.at.clear();  // when it is made is no part of it
  return {write_options(options), domain.string(), compute.device, compute.dtype};
}

/// What can be known to be wrong with names and folders before the first model is made.
void check_inputs(const ProofSpec& spec, const std::string& source) {
  std::map<fs::path, Domain> domains;
  const auto check = [&](const StageSpec& stage, const std::string& where) {
    auto found = domains.find(stage.domain);
    if (found == domains.end()) found = domains.emplace(stage.domain, load_domain(stage.domain)).first;
    try {
      check_names(stage, found->second);
    } catch (const UserError& error) {
      throw UserError("{}: {}: {}", source, where, error.what());
    }
  };
  const auto check_folder = [&](const fs::path& folder, const std::string& where) {
    if (!fs::is_directory(folder)) {
      throw UserError("{}: {}: there is no model folder {}; another recipe may have to be run first", source,
                      where, folder.string());
    }
  };
  check_folder(spec.model, "model");
  for (const NamedStage& stage : spec.align) check(stage.spec, "align");
  for (const NamedStage& defence : spec.defences) {
    if (defence.folder.empty()) {
      check(defence.spec, "defences: " + defence.name);
    } else {
      check_folder(defence.folder, "defences: " + defence.name);
    }
  }
  for (const AttackSpec& attack : spec.attacks) check(attack.spec, "attacks: " + attack.name);
}

/// How many cells have no result, and why.
void tell_missing(const std::vector<ProofCell>& cells) {
  std::map<std::string, int64_t> counts;
  for (const ProofCell& cell : cells)
    if (!cell.done()) ++counts[cell.status];
  std::vector<std::string> parts;
  int64_t missing = 0;
  for (const auto& [status, count] : counts) {
    parts.push_back(fmt::format("{} {}", count, status));
    missing += count;
  }
  if (missing == 0) {
    say("prove: all {} cells have a result", cells.size());
  } else {
    warn("{} of {} cells are missing ({}); verdict.json names them", missing, cells.size(), join(parts));
  }
}

}  // namespace

ProofResult prove(const Json& json, const std::string& source, const fs::path& out,
                  const std::string& command, Prove run) {
  const ProofSpec spec = read_proof_spec(json, source);
  Models models(spec, out);
  if (run == Prove::kNothing) {
    models.find();
  } else {
    check_inputs(spec, source);
    make_folder(out);
    models.make();
  }

  const std::vector<ProofModelRun> made = models.runs();
  struct Place {
    const AttackSpec& attack;
    const ProofModelRun& model;
    int64_t seed;
    std::string id;
  };
  std::vector<Place> grid;  // one attack after the other, so that models can be compared early
  for (const AttackSpec& attack : spec.attacks) {
    for (const ProofModelRun& model : made) {
      for (const int64_t seed : spec.seeds)
        grid.push_back({attack, model, seed, cell_id(model.name, attack.name, seed)});
    }
  }

  std::vector<std::string> failures(grid.size());  // of this process; "" where it had none
  // All cells of the grid, as they are now: others may share the work.
  const auto cells_now = [&] {
    std::vector<ProofCell> cells;
    for (size_t i = 0; i < grid.size(); ++i) {
      const auto& [attack, model, seed, id] = grid[i];
      const std::string run_dir = "cells/" + id;
      RunState state = failures[i].empty() ? state_of(out / run_dir) : RunState{"failed", failures[i]};
      if (state.status == "done") {
        state.error = other_recipe(out / run_dir, cell_spec(attack, {}, seed));
        if (!state.error.empty()) state.status = "left out";
      }
      cells.push_back({id, model.name, run_dir, &attack, seed, state.status, state.error});
    }
    for (const auto& [name, state] : models.absent()) {
      for (const AttackSpec& attack : spec.attacks) {
        for (const int64_t seed : spec.seeds) {
          const std::string id = cell_id(name, attack.name, seed);
          cells.push_back({id, name, "cells/" + id, &attack, seed, state.status, state.error});
        }
      }
    }
    return cells;
  };
  const auto write_verdict = [&](const std::vector<ProofCell>& cells) {
    write_file(out / "verdict.json", to_pretty(make_verdict(spec, out, made, cells, command)));
  };

  if (run == Prove::kNothing) {
    const std::vector<ProofCell> cells = cells_now();
    write_verdict(cells);
    for (const ProofCell& cell : cells) {
      if (cell.status == "left out" && !models.absent().contains(cell.model))
        warn("{}: left out: {}", (out / cell.run).string(), cell.error);
    }
    tell_missing(cells);
    return {static_cast<int64_t>(cells.size()), 0};
  }

  // What is known of the models at rest: by name and by how they were measured. Tasks, for one, are measured in cells only.
  std::map<std::pair<std::string, Json>, Evaluated> at_rest;
  for (const ProofModelRun& model : made) {
    const Json measured = model.spec != nullptr
                              ? measurement(model.spec->evaluate, model.spec->domain, model.spec->compute)
                              : measurement(spec.evaluate, spec.domain, spec.compute);
    at_rest[{model.name, measured}] = last_evaluation(out / model.run);
  }
  write_verdict(cells_now());  // what is known so far: a long proof can be looked at while it runs
  in_turns(grid.size(), [&](size_t i) {
    const auto& [attack, model, seed, id] = grid[i];
    const fs::path cell = out / "cells" / id;
    const bool goes_on = !attack.after.empty();
    const fs::path before = out / "cells" / cell_id(model.name, attack.after, seed);
    if (is_running(cell) || (goes_on && is_running(before))) return false;
    say("prove: cell {} of {}: {}", i + 1, grid.size(), id);
    const bool was_finished = is_finished_run(cell);
    try {
      failures[i] = failure_of([&] {
        const StageSpec stage =
            cell_spec(attack, goes_on ? before / "model" : models.folder(model.name), seed);
        make_folder(cell);
        if (goes_on) {
          run_stage(stage, cell);
        } else {
          const std::pair key(model.name, measurement(stage.evaluate, stage.domain, stage.compute));
          const auto known = at_rest.find(key);
          run_stage(stage, cell, known != at_rest.end() ? &known->second : nullptr);
          if (known == at_rest.end()) at_rest[key] = first_evaluation(cell);
        }
      });
    } catch (const BusyRunDir&) {
      return false;
    }
    if (!failures[i].empty()) warn("cell {} failed: {}", id, failures[i]);
    if (!was_finished || !failures[i].empty()) write_verdict(cells_now());
    return true;
  });
  const std::vector<ProofCell> cells = cells_now();
  write_verdict(cells);
  ProofResult result;
  result.cells = static_cast<int64_t>(cells.size());
  result.failed = std::count_if(cells.begin(), cells.end(),
                                [](const ProofCell& cell) { return cell.status == "failed"; });
  if (result.failed > 0) warn("{} of {} cells failed; verdict.json names them", result.failed, result.cells);
  return result;
}

}  // namespace caltrop
