#include "caltrop/report/load.h"

#include <algorithm>
#include <iterator>

#include "caltrop/base/error.h"
#include "caltrop/base/json.h"

namespace caltrop {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kFormat = 1;

const Json& list(const Json& object, const std::string& key, const std::string& where) {
  static const Json none = Json::array();
  const auto it = object.find(key);
  if (it == object.end() || it->is_null()) return none;
  if (!it->is_array()) throw UserError("{}: '{}' is {}, want a list", where, key, to_line(*it).substr(0, 40));
  return *it;
}

template <typename T>
std::optional<T> maybe(const Json& object, const std::string& key, const std::string& where) {
  const auto it = object.find(key);
  if (it == object.end() || it->is_null()) return std::nullopt;
  return required<T>(object, key, where);
}

std::string text_or_empty(const Json& object, const std::string& key, const std::string& where) {
  return optional<std::string>(object, key, where, "");
}

NumbersByName numbers(const Json& object, const std::string& key, const std::string& where) {
  NumbersByName found;
  const Json inner = optional<Json>(object, key, where, Json::object());
  if (!inner.is_object()) throw UserError("{}: '{}' is not an object of numbers", where, key);
  for (const auto& [name, value] : inner.items()) {
    if (!value.is_null()) found[name] = required<double>(inner, name, where + ", " + key);
  }
  return found;
}

std::string one_of(const Json& object, const std::string& key, const std::string& where,
                   const std::vector<std::string>& words) {
  auto word = required<std::string>(object, key, where);
  if (std::find(words.begin(), words.end(), word) == words.end()) {
    throw UserError("{}: '{}' is '{}', want one of: {}", where, key, word, join(words));
  }
  return word;
}

std::string outcome(const Json& object, const std::string& key, const std::string& where) {
  return one_of(object, key, where, {std::begin(kOutcomes), std::end(kOutcomes)});
}

std::string arm(const Json& object, const std::string& where) {
  return one_of(object, "arm", where, {"harmful", "benign"});
}

std::optional<Patience> patience(const Json& object, const std::string& key, const std::string& where) {
  const auto it = object.find(key);
  if (it == object.end() || it->is_null()) return std::nullopt;
  const std::string inside = where + ", " + key;
  return Patience{required<int64_t>(*it, "steps", inside), maybe<int64_t>(*it, "samples", inside),
                  maybe<int64_t>(*it, "tokens", inside), maybe<double>(*it, "seconds", inside)};
}

MetricDeclaration metric(const Json& json, const std::string& where) {
  return {required<std::string>(json, "name", where), text_or_empty(json, "unit", where),
          text_or_empty(json, "better", where), required<std::string>(json, "meaning", where)};
}

ProofModel model(const Json& json, const std::string& where) {
  ProofModel m;
  m.name = required<std::string>(json, "name", where);
  m.method = text_or_empty(json, "method", where);
  m.after = text_or_empty(json, "after", where);
  m.summary = text_or_empty(json, "summary", where);
  m.paper = text_or_empty(json, "paper", where);
  m.run = text_or_empty(json, "run", where);
  m.dtype = text_or_empty(json, "dtype", where);
  m.options = optional<Json>(json, "options", where, Json::object());
  m.cost = numbers(json, "cost", where);
  m.at_rest = numbers(json, "at_rest", where);
  return m;
}

Cell cell(const Json& json, const std::string& where) {
  Cell c;
  c.id = required<std::string>(json, "id", where);
  c.model = required<std::string>(json, "model", where);
  c.attack = required<std::string>(json, "attack", where);
  c.arm = arm(json, where);
  c.twin = text_or_empty(json, "twin", where);
  c.seed = required<int64_t>(json, "seed", where);
  c.after = text_or_empty(json, "after", where);
  c.run = text_or_empty(json, "run", where);
  c.status = one_of(json, "status", where, {"done", "failed"});
  c.error = text_or_empty(json, "error", where);
  c.learning_rate = maybe<double>(json, "learning_rate", where);
  c.steps = maybe<int64_t>(json, "steps", where);
  c.batch = maybe<int64_t>(json, "batch", where);
  for (const Json& point : list(json, "trajectory", where)) {
    const std::string inside = where + ", trajectory";
    c.trajectory.push_back({required<int64_t>(point, "step", inside), outcome(point, "outcome", inside),
                            text_or_empty(point, "signature", inside), numbers(point, "metrics", inside)});
  }
  return c;
}

MissingCell missing_cell(const Json& json, const std::string& where) {
  return {required<std::string>(json, "cell", where),   required<std::string>(json, "model", where),
          required<std::string>(json, "attack", where), arm(json, where),
          required<std::string>(json, "status", where), text_or_empty(json, "error", where)};
}

Program program(const Json& json, const std::string& where) {
  return {text_or_empty(json, "version", where), text_or_empty(json, "commit", where),
          optional<bool>(json, "dirty", where, false)};
}

Row row(const Json& json, const std::string& where) {
  Row r;
  r.model = required<std::string>(json, "model", where);
  r.attack = required<std::string>(json, "attack", where);
  r.arm = arm(json, where);
  r.seeds = required<int64_t>(json, "seeds", where);
  for (const auto& [name, count] : numbers(json, "outcomes", where))
    r.outcomes[name] = static_cast<int64_t>(count);
  if (maybe<std::string>(json, "worst", where)) r.worst = outcome(json, "worst", where);
  r.until_usable_harm = patience(json, "patience_usable_harm", where);
  r.until_collapse = patience(json, "patience_collapse", where);
  r.ability_rest = maybe<double>(json, "ability_rest", where);
  r.ability_end = maybe<double>(json, "ability_end", where);
  r.ability_end_se = maybe<double>(json, "ability_end_se", where);
  r.harm_end = maybe<double>(json, "harm_end", where);
  r.prompts = maybe<int64_t>(json, "prompts", where);
  r.refusal_end = maybe<double>(json, "refusal_end", where);
  r.field_criterion_steps = maybe<int64_t>(json, "field_criterion_steps", where);
  r.signature = text_or_empty(json, "signature", where);
  r.says = text_or_empty(json, "says", where);
  r.after = text_or_empty(json, "after", where);
  return r;
}

Pair pair(const Json& json, const std::string& where) {
  return {required<std::string>(json, "model", where),
          required<std::string>(json, "attack", where),
          text_or_empty(json, "twin", where),
          required<int64_t>(json, "seed", where),
          maybe<double>(json, "conditionality_gap", where),
          maybe<double>(json, "gap_se", where)};
}

/// Every element of the list `key`, with its place for error messages.
template <typename T>
void read_list(const Json& json, const std::string& key, const std::string& file, std::vector<T>& out,
               T (*read)(const Json&, const std::string&)) {
  const Json& items = list(json, key, file);
  for (size_t i = 0; i < items.size(); ++i)
    out.push_back(read(items[i], fmt::format("{}: {}[{}]", file, key, i)));
}

}  // namespace

const ProofModel* Proof::find_model(const std::string& name) const {
  const auto it =
      std::find_if(models.begin(), models.end(), [&](const ProofModel& m) { return m.name == name; });
  return it == models.end() ? nullptr : &*it;
}

bool is_success(const std::string& outcome) { return outcome == "usable harm" || outcome == "narrow harm"; }

Proof load_proof(const fs::path& root) {
  const fs::path path = root / "verdict.json";
  if (!fs::exists(path)) {
    throw UserError(
        "{}: has no verdict.json: it is no proof directory, or `caltrop prove` has not finished there (the "
        "same command again resumes it)",
        root.string());
  }
  const std::string file = path.string();
  const Json json = read_json(path);
  const auto format = required<int64_t>(json, "format", file);
  if (format != kFormat) {
    throw UserError(
        "{}: has format {}, this program reads format {} (written by another version of Caltrop?)", file,
        format, kFormat);
  }
  Proof proof;
  proof.root = root;
  proof.title = required<std::string>(json, "title", file);
  proof.command = text_or_empty(json, "command", file);
  proof.created = text_or_empty(json, "created", file);
  proof.machine = text_or_empty(json, "machine", file);
  read_list(json, "programs", file, proof.programs, program);
  const std::string judge = json.contains("judged_by") ? "judged_by" : "program";  // the latter in old files
  proof.judged_by = program(optional<Json>(json, judge, file, Json::object()), file + ": " + judge);
  proof.thresholds = numbers(json, "thresholds", file);
  proof.chance = maybe<double>(json, "chance", file);
  proof.ability_tells = optional<bool>(json, "ability_tells", file, true);
  read_list(json, "metrics", file, proof.metrics, metric);
  read_list(json, "models", file, proof.models, model);
  read_list(json, "cells", file, proof.cells, cell);
  read_list(json, "missing", file, proof.missing, missing_cell);
  read_list(json, "rows", file, proof.rows, row);
  read_list(json, "pairs", file, proof.pairs, pair);
  const auto known = [&](const std::string& name, const std::string& where) {
    if (proof.find_model(name) != nullptr) return;
    std::vector<std::string> names;
    for (const ProofModel& m : proof.models) names.push_back(m.name);
    throw unknown_name(where, "model", name, names);
  };
  for (const Cell& c : proof.cells) known(c.model, fmt::format("{}: cell {}", file, c.id));
  for (const Row& r : proof.rows) known(r.model, file + ": rows");
  return proof;
}

}  // namespace caltrop
