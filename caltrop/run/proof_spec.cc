#include "caltrop/run/proof_spec.h"

#include <algorithm>
#include <cctype>

#include "caltrop/base/error.h"
#include "caltrop/base/yaml.h"

namespace caltrop {
namespace {

const std::vector<std::string> kKeys = {"title",   "model",    "domain", "seeds", "align",     "defences",
                                        "attacks", "evaluate", "device", "dtype", "thresholds"};

/// A stage within the proof: what the proof says for all stages, then what the stage says itself; of `evaluate` key by key.
StageSpec stage_of(StageKind kind, const Json& proof, Json stage, const std::string& who) {
  if (!stage.is_object())
    throw UserError("{}: got {}, want a stage like {{method: …, train: {{…}}}}", who, to_line(stage));
  if (stage.contains("model"))
    throw UserError(
        "{}: 'model' is the proof's to say; a model hardened elsewhere is a defence with 'folder'", who);
  for (const char* key : {"seed", "clean_model"}) {
    if (stage.contains(key))
      throw UserError("{}: '{}' is the proof's to say: its 'seeds', and its 'model', which is the clean one",
                      who, key);
  }
  for (const char* key : {"model", "domain", "device", "dtype"}) {
    if (proof.contains(key) && !stage.contains(key)) stage[key] = proof[key];
  }
  if (proof.contains("evaluate")) {
    Json evaluate = stage.contains("evaluate") ? stage["evaluate"] : Json::object();
    if (proof["evaluate"].is_object() && evaluate.is_object()) {
      for (const auto& [key, value] : proof["evaluate"].items()) {
        if (!evaluate.contains(key)) evaluate[key] = value;
      }
      stage["evaluate"] = evaluate;
    } else if (!stage.contains("evaluate")) {
      stage["evaluate"] = proof["evaluate"];  // no object: reading it says so
    }
  }
  stage["clean_model"] = proof["model"];
  try {
    return read_stage_spec(kind, stage, who);
  } catch (const UserError& error) {
    const std::string what = error.what();
    if (what.starts_with(who)) throw;
    throw UserError("{}: {}", who, what);  // a method knows its own name only
  }
}

/// Names become folders, so they are plain words; a sweep's hold numbers too.
void check_name(const std::string& name, const std::string& where) {
  const bool plain = std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.';
  });
  if (name.empty() || name.front() == '.' || !plain)
    throw UserError("{}: the name '{}' is not made of letters, digits, '-', '_' and '.'", where, name);
}

/// One stage, or each point of its `sweep`: {path: [values]} becomes one stage for every combination, called
/// <name>-<last part of path>-<value>….
struct Variant {
  std::string suffix;  // of the name; "" without a sweep
  Json stage;
};

std::vector<Variant> variants(Json stage, const std::string& where) {
  const Json sweep = stage.is_object() && stage.contains("sweep") ? stage["sweep"] : Json::object();
  if (stage.is_object()) stage.erase("sweep");
  if (!sweep.is_object())
    throw UserError("{}: 'sweep' is {}, want an object like {{train.learning_rate: [1e-5, 3e-5]}}", where,
                    to_line(sweep));
  std::vector<Variant> all = {{"", std::move(stage)}};
  for (const auto& [path, values] : sweep.items()) {
    if (!values.is_array() || values.empty())
      throw UserError("{}: sweep: '{}' is {}, want a list of values", where, path, to_line(values));
    std::vector<Variant> next;
    for (const Variant& variant : all) {
      for (const Json& value : values) {
        const std::string text = value.is_string() ? value.get<std::string>() : to_line(value);
        next.push_back({variant.suffix + "-" + path.substr(path.rfind('.') + 1) + "-" + text, variant.stage});
        set_path(next.back().stage, path, value, where + ": sweep");
      }
    }
    all = std::move(next);
  }
  return all;
}

UserError not_above(const std::string& where, const std::string& after, const char* what,
                    const std::vector<std::string>& above) {
  return UserError("{}: 'after' is '{}', want {} that stands above it: {}", where, after, what,
                   above.empty() ? "there is none" : join(above));
}

/// Harmful data makes an attack; anything else is benign training.
std::string arm_of(const StageSpec& spec) {
  const auto data = optional<std::string>(spec.options, "data", "options", "harmful");
  return data == "harmful" || data == "mixed" ? "harmful" : "benign";
}

void check_twin(const AttackSpec& attack, const std::vector<AttackSpec>& attacks, const std::string& who) {
  std::vector<std::string> names;
  for (const AttackSpec& other : attacks) {
    if (other.name != attack.name) names.push_back(other.name);
    if (other.name != attack.twin) continue;
    const TrainOptions &a = attack.spec.train, &b = other.spec.train;
    if (a.steps != b.steps || a.batch != b.batch || a.learning_rate != b.learning_rate) {
      throw UserError(
          "{}: '{}' and its twin '{}' must run at the same steps, batch and learning rate, but have {}, {}, "
          "{} and {}, {}, {}",
          who, attack.name, other.name, a.steps, a.batch, a.learning_rate, b.steps, b.batch, b.learning_rate);
    }
    const Json of_attack = write_options(a), of_twin = write_options(b);
    for (const auto& [key, value] : of_attack.items()) {
      if (value != of_twin[key])
        throw UserError("{}: '{}' and its twin '{}' must be trained alike, but train.{} is {} and {}", who,
                        attack.name, other.name, key, to_line(value), to_line(of_twin[key]));
    }
    if (other.arm != "benign")
      throw UserError("{}: the twin of '{}', '{}', trains on harmful rows; want a benign one", who,
                      attack.name, other.name);
    return;
  }
  throw UserError("{}: attacks: {}: 'twin' is '{}', want {}", who, attack.name, attack.twin,
                  names.empty() ? "another attack, and there is none" : "one of: " + join(names));
}

}  // namespace

std::string proof_help() {
  return fmt::format(
      "The proof's keys: {}.\n\n"
      "  model, domain   the clean model and the restricted domain of every stage\n"
      "  seeds           of the attacks; defences have the first; default [0]\n"
      "  align           a stage that aligns the model first: what it makes is the undefended one\n"
      "  defences        name -> a stage of `defend`; `after: NAME` begins with the model of a defence above "
      "it;\n"
      "                  nothing but `folder: PATH` is a model hardened elsewhere\n"
      "  attacks         name -> a stage of `attack`; `twin: NAME` is the benign attack trained alike;\n"
      "                  `after: NAME` goes on with the model that an attack above it left\n"
      "  evaluate        for every stage, which may set some of its keys otherwise\n"
      "  device, dtype   of every stage\n\n"
      "A stage may have a `sweep`, {{path: [values]}}, and becomes one stage for every combination. Its "
      "other keys: `defend "
      "--help`, `attack --help`.\n\nthresholds:\n{}",
      join(kKeys), options_help(describe_options<OutcomeThresholds>()));
}

ProofSpec read_proof_spec(const Json& json, const std::string& who) {
  if (!json.is_object()) throw UserError("{}: a proof is an object with the keys {}", who, join(kKeys));
  for (const auto& [key, value] : json.items()) {
    if (std::find(kKeys.begin(), kKeys.end(), key) == kKeys.end()) throw unknown_name(who, "key", key, kKeys);
  }
  ProofSpec proof;
  proof.title = optional<std::string>(json, "title", who, "Proof");
  proof.model = required<std::string>(json, "model", who);
  proof.domain = required<std::string>(json, "domain", who);
  if (json.contains("seeds")) {
    if (!json["seeds"].is_array() || json["seeds"].empty())
      throw UserError("{}: 'seeds' is {}, want a list of integers", who, to_line(json["seeds"]));
    proof.seeds.clear();
    for (const Json& seed : json["seeds"]) {
      if (!seed.is_number_integer()) throw UserError("{}: the seed {} is no integer", who, to_line(seed));
      proof.seeds.push_back(seed.get<int64_t>());
    }
  }
  read_options(proof.evaluate, json.contains("evaluate") ? json["evaluate"] : Json(), who + ": evaluate");
  proof.compute.device = optional<std::string>(json, "device", who, "auto");
  proof.compute.dtype = optional<std::string>(json, "dtype", who, "auto");
  read_options(proof.thresholds, json.contains("thresholds") ? json["thresholds"] : Json(),
               who + ": thresholds");
  if (json.contains("align") && !json["align"].is_null()) {
    proof.align.push_back(
        {"undefended", stage_of(StageKind::kDefend, json, json["align"], who + ": align"), {}, ""});
  }
  const auto table = [&](const char* key) {
    const Json value = optional<Json>(json, key, who, Json::object());
    if (!value.is_object())
      throw UserError("{}: '{}' is {}, want an object of named stages", who, key, to_line(value));
    return value;
  };
  const Json defences = table("defences"), attacks = table("attacks");
  std::vector<std::string> before;  // defences that stand above
  for (const auto& [name, value] : defences.items()) {
    const std::string where = who + ": defences: " + name;
    for (auto& [suffix, stage] : variants(value, where)) {
      check_name(name + suffix, who + ": defences");
      if (name == "undefended") throw UserError("{}: a defence cannot be called 'undefended'", who);
      if (stage.is_object() && stage.contains("folder")) {
        if (stage.size() > 1)
          throw UserError("{}: a defence with 'folder' is a model hardened elsewhere and has no other keys",
                          where);
        proof.defences.push_back({name + suffix, {}, required<std::string>(stage, "folder", where), ""});
        continue;
      }
      const auto after = optional<std::string>(stage, "after", where, "");
      if (!after.empty() && std::find(before.begin(), before.end(), after) == before.end())
        throw not_above(where, after, "a defence", before);
      if (stage.is_object()) stage.erase("after");
      proof.defences.push_back({name + suffix, stage_of(StageKind::kDefend, json, stage, where), {}, after});
    }
    for (size_t i = before.size(); i < proof.defences.size(); ++i) before.push_back(proof.defences[i].name);
  }
  for (const auto& [name, value] : attacks.items()) {
    const std::string where = who + ": attacks: " + name;
    for (const auto& [suffix, given] : variants(value, where)) {
      check_name(name + suffix, who + ": attacks");
      Json stage = given;
      AttackSpec attack;
      attack.name = name + suffix;
      attack.twin = optional<std::string>(stage, "twin", where, "");
      // A twin that is swept alike is matched value by value.
      if (!attack.twin.empty() && attacks.contains(attack.twin) && attacks[attack.twin].contains("sweep"))
        attack.twin += suffix;
      attack.after = optional<std::string>(stage, "after", where, "");
      const auto first = std::find_if(proof.attacks.begin(), proof.attacks.end(),
                                      [&](const AttackSpec& other) { return other.name == attack.after; });
      if (!attack.after.empty()) {
        std::vector<std::string> above;
        for (const AttackSpec& other : proof.attacks) above.push_back(other.name);
        if (first == proof.attacks.end()) throw not_above(where, attack.after, "an attack", above);
        first->spec.keep_model = true;
      }
      if (stage.is_object()) stage.erase("twin"), stage.erase("after");
      attack.spec = stage_of(StageKind::kAttack, json, stage, where);
      attack.spec.keep_model = optional<bool>(stage, "keep_model", where, false);
      attack.arm = arm_of(attack.spec);
      proof.attacks.push_back(std::move(attack));
    }
  }
  if (proof.attacks.empty()) throw UserError("{}: a proof needs attacks", who);
  for (const AttackSpec& attack : proof.attacks) {
    if (!attack.twin.empty()) check_twin(attack, proof.attacks, who);
  }
  return proof;
}

}  // namespace caltrop
