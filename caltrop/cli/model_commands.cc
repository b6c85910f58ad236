#include <iostream>
#include <memory>

#include "caltrop/cli/commands.h"
#include "caltrop/run/import.h"
#include "caltrop/run/talk.h"
#include "caltrop/text/chat.h"
#include "caltrop/text/tokenize_lines.h"

namespace caltrop {
namespace {

namespace fs = std::filesystem;

struct GenerateArguments {
  fs::path model, prompts, out;
  ModelOptions compute;
  GenerateOptions options;
  int64_t seed = 0;
};

std::shared_ptr<GenerateArguments> add_generation(CLI::App& command) {
  auto arguments = std::make_shared<GenerateArguments>();
  command.add_option("model", arguments->model, "model folder")->required();
  command.add_option("--temperature", arguments->options.temperature, "0 takes the likeliest token")
      ->capture_default_str();
  command.add_option("--top-k", arguments->options.top_k, "sample among the k likeliest; 0: all")
      ->capture_default_str();
  command.add_option("--top-p", arguments->options.top_p, "sample among the likeliest with this probability")
      ->capture_default_str();
  command.add_option("--repetition-penalty", arguments->options.repetition_penalty, "1: off")
      ->capture_default_str();
  command.add_option("--max-new-tokens", arguments->options.max_new_tokens, "longest answer")
      ->capture_default_str();
  command.add_option("--seed", arguments->seed, "of the sampling")->capture_default_str();
  add_compute_options(command, arguments->compute);
  return arguments;
}

std::string chat_format_help() {
  std::string help = "write this as the chat template, for a model without one:";
  for (const ChatFormat& format : chat_formats()) help += fmt::format(" {} ({});", format.name, format.about);
  help.back() = '.';
  return help;
}

/// The ranges of the options table hold for flags as well.
void check(GenerateOptions& options) { read_options(options, write_options(options), "generate"); }

}  // namespace

void add_compute_options(CLI::App& command, ModelOptions& compute) {
  command.add_option("--device", compute.device, "auto, cpu, cuda, cuda:N")->capture_default_str();
  command.add_option("--dtype", compute.dtype, "auto, fp32, bf16: of the computation; masters are fp32")
      ->capture_default_str();
}

void add_model_commands(Commands& commands) {
  {
    CLI::App* command =
        commands.app.add_subcommand("import", "a GGUF file or a model folder becomes a Hugging Face folder");
    auto source = std::make_shared<fs::path>(), out = std::make_shared<fs::path>();
    command->add_option("source", *source, ".gguf file or model folder")->required();
    command->add_option("--out", *out, "folder to write; must not exist")->required();
    auto format = std::make_shared<std::string>();
    command->add_option("--chat-format", *format, chat_format_help());
    command->callback([=] { import_model(*source, *out, *format); });
  }
  {
    CLI::App* command = commands.app.add_subcommand("info", "what a model folder is");
    auto model = std::make_shared<fs::path>();
    command->add_option("model", *model, "model folder")->required();
    command->callback([=] { std::cout << describe_model(*model); });
  }
  {
    CLI::App* command = commands.app.add_subcommand("chat", "talk to a model");
    const auto arguments = add_generation(*command);
    arguments->options.max_new_tokens = 256;
    command->callback([=] {
      check(arguments->options);
      chat(arguments->model, arguments->compute, arguments->options, arguments->seed, std::cin, std::cout);
    });
  }
  {
    CLI::App* command = commands.app.add_subcommand("generate", "answer every prompt of a JSON-lines file");
    const auto arguments = add_generation(*command);
    command->add_option("--prompts", arguments->prompts, "JSON lines with \"prompt\"")->required();
    command->add_option("--out", arguments->out, "the same rows with \"response\"")->required();
    command->add_option("--batch", arguments->options.batch, "sequences at once")->capture_default_str();
    command->callback([=] {
      check(arguments->options);
      generate_file(arguments->model, arguments->compute, arguments->options, arguments->seed,
                    arguments->prompts, arguments->out);
    });
  }
  {
    CLI::App* command = commands.app.add_subcommand("tokenize", "one JSON string a line in, token ids out");
    auto model = std::make_shared<fs::path>();
    command->add_option("model", *model, "model folder")->required();
    command->callback(
        [=] { tokenize_lines(Tokenizer::load(*model), std::cin, std::cout, "standard input"); });
  }
  {
    CLI::App* command = commands.app.add_subcommand(
        "template", "one list of messages a line in, text and assistant spans out");
    auto model = std::make_shared<fs::path>();
    command->add_option("model", *model, "model folder")->required();
    command->callback([=] { render_lines(ChatTemplate::load(*model), std::cin, std::cout); });
  }
}

}  // namespace caltrop
