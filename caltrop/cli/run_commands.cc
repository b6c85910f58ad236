#include <iostream>
#include <memory>

#include "caltrop/base/error.h"
#include "caltrop/base/yaml.h"
#include "caltrop/cli/commands.h"
#include "caltrop/run/evaluate.h"
#include "caltrop/run/proof_spec.h"
#include "caltrop/run/prove.h"
#include "caltrop/run/sense.h"
#include "caltrop/run/stage.h"

namespace caltrop {
namespace {

namespace fs = std::filesystem;

/// A spec from a file, flags and --set, the later ones winning.
struct SpecArguments {
  std::string file, model, method, domain;
  fs::path out;
  std::vector<std::string> sets;

  Json spec() const {
    std::error_code error;  // of a name that cannot be one; reading it says so
    if (fs::is_directory(file, error))
      throw UserError("'{0}' is a folder, not a spec in YAML; a model folder is given as --model {0}", file);
    Json json = file.empty() ? Json::object() : read_yaml(file);
    if (json.is_null()) json = Json::object();
    if (!model.empty()) json["model"] = model;
    if (!method.empty()) json["method"] = method;
    if (!domain.empty()) json["domain"] = domain;
    for (const std::string& set : sets) {
      const size_t equals = set.find('=');
      if (equals == std::string::npos)
        throw UserError("--set: got '{}', want key=value, like train.steps=20{}", set,
                        fs::exists(set, error) ? "; a spec stands before --set" : "");
      set_path(json, set.substr(0, equals), parse_yaml_value(set.substr(equals + 1), "--set " + set),
               "--set");
    }
    return json;
  }

  std::string source() const { return file.empty() ? "spec" : file; }
};

std::shared_ptr<SpecArguments> add_spec(CLI::App& command, bool stage) {
  auto arguments = std::make_shared<SpecArguments>();
  command.add_option("spec", arguments->file, "spec in YAML");
  command.add_option("--out", arguments->out, "run directory; resumed or reused if it holds the same spec")
      ->required();
  command.add_option("--set", arguments->sets,
                     "key=value over the spec, like train.steps=20; may be repeated");
  command.add_option("--model", arguments->model, "model folder");
  command.add_option("--domain", arguments->domain, "domain file, like data/kitchen/domain.yaml");
  if (stage) command.add_option("--method", arguments->method, "which method; `caltrop methods` lists them");
  return arguments;
}

/// Help for every option of every method, from their own tables.
std::string methods_help(StageKind kind, bool markdown) {
  std::string text;
  for (const Entry* entry : entries_of(kind)) {
    if (markdown) {
      text += fmt::format("| `{}` | {} | {} |\n", entry->name, entry->paper, entry->summary);
      continue;
    }
    text += fmt::format("{}{}{}\n  {}\n{}\n", entry->name, entry->paper.empty() ? "" : "  ", entry->paper,
                        entry->summary, options_help(entry->describe(), 4));
  }
  return text;
}

std::string stage_help(StageKind kind) {
  return fmt::format(
      "The spec's keys: {}.\n\noptions, by method:\n\n{}\ntrain:\n{}\nevaluate:\n{}\ndata:\n{}\nirrelevant "
      "(pairs of "
      "sdd):\n{}",
      join(stage_keys()), methods_help(kind, false), options_help(describe_options<TrainOptions>()),
      options_help(describe_options<EvaluateOptions>()), options_help(describe_options<StreamOptions>()),
      options_help(describe_options<IrrelevantOptions>()));
}

void add_stage(Commands& commands, const char* name, const char* what, StageKind kind) {
  CLI::App* command = commands.app.add_subcommand(name, what);
  const auto arguments = add_spec(*command, true);
  command->footer([kind] { return stage_help(kind); });
  command->callback([=] {
    const StageSpec spec = read_stage_spec(kind, arguments->spec(), arguments->source());
    run_stage(spec, arguments->out);
    std::cout << (spec.keep_model ? arguments->out / "model" : arguments->out).string() << "\n";
  });
}

}  // namespace

std::string command_line(const Commands& commands) {
  std::string line = "caltrop";
  for (int i = 1; i < commands.argc; ++i) line += std::string(" ") + commands.argv[i];
  return line;
}

void add_run_commands(Commands& commands) {
  add_stage(commands, "defend",
            "plant a trap: a model folder in, a run directory with the hardened model out",
            StageKind::kDefend);
  add_stage(commands, "attack", "attack a model as a tamperer would, evaluating along the way",
            StageKind::kAttack);
  {
    CLI::App* command = commands.app.add_subcommand("evaluate", "measure a model once");
    auto spec = std::make_shared<EvaluateSpec>();
    auto clean = std::make_shared<std::string>();
    auto out = std::make_shared<fs::path>();
    auto sets = std::make_shared<std::vector<std::string>>();
    command->add_option("model", spec->model, "model folder")->required();
    command->add_option("--domain", spec->domain, "domain file")->required();
    command->add_option("--clean", *clean,
                        "the model before any defence or attack; default: the model itself");
    command->add_option("--out", *out, "run directory")->required();
    command->add_option("--set", *sets, "key=value of the options below");
    add_compute_options(*command, spec->compute);
    command->footer([] { return options_help(describe_options<EvaluateOptions>()); });
    command->callback([=] {
      SpecArguments options;
      options.sets = *sets;
      read_options(spec->options, options.spec(), "evaluate");
      spec->clean_model = clean->empty() ? spec->model : fs::path(*clean);
      for (const auto& [name, value] : run_evaluate(*spec, *out))
        std::cout << fmt::format("{:<28}{:.4f}\n", name, value);
    });
  }
  {
    CLI::App* command =
        commands.app.add_subcommand("sense", "was a model fine-tuned toward the restricted domain?");
    struct Arguments {
      std::filesystem::path model, sensor, domain;
      ModelOptions compute;
    };
    const auto arguments = std::make_shared<Arguments>();
    command->add_option("model", arguments->model, "model folder")->required();
    command->add_option("--like", arguments->sensor, "sensor.json of a tripwire's run directory")->required();
    command->add_option("--domain", arguments->domain, "domain file, whose benign rows are read")->required();
    add_compute_options(*command, arguments->compute);
    command->callback([=] {
      std::cout << describe(
          sense(arguments->model, arguments->sensor, arguments->domain, arguments->compute));
    });
  }
  {
    CLI::App* command =
        commands.app.add_subcommand("prove", "run the grid of defences, attacks and seeds, and judge it");
    const auto arguments = add_spec(*command, false);
    command->footer([] { return proof_help(); });
    const auto collect = std::make_shared<bool>(false);
    command->add_flag("--collect", *collect, "judge the runs that are finished and run nothing");
    command->callback([=, &commands] {
      const ProofResult result =
          prove(arguments->spec(), arguments->source(), arguments->out, command_line(commands),
                *collect ? Prove::kNothing : Prove::kWhatIsMissing);
      if (result.failed > 0) commands.exit_code = 1;
    });
  }
  {
    CLI::App* command = commands.app.add_subcommand("methods", "every defence and attack with its options");
    auto markdown = std::make_shared<bool>(false);
    command->add_flag("--markdown", *markdown, "as rows of a table");
    command->callback([=] {
      if (!*markdown) std::cout << "DEFENCES\n\n";
      std::cout << methods_help(StageKind::kDefend, *markdown);
      if (!*markdown) std::cout << "ATTACKS\n\n";
      std::cout << methods_help(StageKind::kAttack, *markdown);
    });
  }
}

}  // namespace caltrop
