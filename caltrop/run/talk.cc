#include "caltrop/run/talk.h"

#include <chrono>
#include <istream>
#include <ostream>

#include "caltrop/base/error.h"
#include "caltrop/base/files.h"
#include "caltrop/base/log.h"
#include "caltrop/data/collate.h"

namespace caltrop {

void chat(const std::filesystem::path& folder, const ModelOptions& compute, const GenerateOptions& options,
          int64_t seed, std::istream& in, std::ostream& out) {
  const auto model = Model::load(folder, compute);
  const ChatEncoder encoder = ChatEncoder::load(folder);
  const std::vector<int64_t>& ends = model->config().end_ids;
  Example conversation;
  int64_t turn = 0;
  say("{}: say something; /new begins anew, /quit ends", folder.string());
  for (std::string line; out << "> " << std::flush, std::getline(in, line);) {
    if (line == "/quit") break;
    if (line == "/new") conversation.messages.clear();
    if (line.empty() || line == "/new") continue;
    conversation.messages.push_back({"user", line});
    const int64_t room = model->config().context - options.max_new_tokens;
    const TokenRow prompt = encoder.encode_prompt(conversation, room);
    StreamDecoder decoder(encoder.tokenizer(), /*skip_special_tokens=*/true);
    std::string answer;
    const auto show = [&](const std::string& text) {
      answer += text;
      out << text << std::flush;
    };
    generate(*model, {prompt}, ends, options, static_cast<uint64_t>(seed + turn++),
             [&](size_t, int64_t id) { show(decoder.push(id)); });
    show(decoder.finish());
    out << "\n";
    conversation.messages.push_back({"assistant", answer});
  }
  out << "\n";
}

void generate_file(const std::filesystem::path& folder, const ModelOptions& compute,
                   const GenerateOptions& options, int64_t seed, const std::filesystem::path& prompts,
                   const std::filesystem::path& out) {
  const auto model = Model::load(folder, compute);
  const ChatEncoder encoder = ChatEncoder::load(folder);
  std::vector<Json> rows;
  std::vector<TokenRow> encoded;
  const int64_t room = model->config().context - options.max_new_tokens;
  read_json_lines(prompts, [&](const Json& row, int64_t line) {
    Example example;
    example.id = fmt::format("{}:{}", prompts.string(), line);
    example.messages = {{"user", required<std::string>(row, "prompt", example.id)}};
    encoded.push_back(encoder.encode_prompt(example, room));
    rows.push_back(row);
  });
  if (rows.empty()) throw UserError("{}: holds no prompts", prompts.string());

  const auto start = std::chrono::steady_clock::now();
  const std::vector<Generated> answers =
      generate(*model, encoded, model->config().end_ids, options, static_cast<uint64_t>(seed));
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  int64_t tokens = 0;
  write_file(out, [&](const Sink& sink) {
    for (size_t i = 0; i < rows.size(); ++i) {
      rows[i]["response"] = encoder.tokenizer().decode(answers[i].ids, /*skip_special_tokens=*/true);
      rows[i]["ended"] = answers[i].ended;
      rows[i]["tokens"] = answers[i].ids.size();
      tokens += static_cast<int64_t>(answers[i].log_probabilities.size());
      sink(to_line(rows[i]) + "\n");
    }
  });
  say("generate: {} answers, {} tokens in {:.1f} s, {:.0f} tokens/s -> {}", rows.size(), tokens, seconds,
      static_cast<double>(tokens) / seconds, out.string());
}

}  // namespace caltrop
