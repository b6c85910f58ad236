#include "caltrop/run/reward_model.h"

#include <ATen/ATen.h>

#include "caltrop/base/error.h"
#include "caltrop/data/batch.h"
#include "caltrop/io/model_folder.h"
#include "caltrop/text/chat.h"
#include "caltrop/text/tokenizer.h"

namespace caltrop {
namespace {

const std::string kClassifies = "ForSequenceClassification", kWrites = "ForCausalLM";
constexpr size_t kChatsAtOnce = 16;

struct Classifier {
  std::shared_ptr<Model> body;
  Tensor score;  // [K,D] fp32
  Tokenizer tokenizer;
  ChatTemplate chat;
  int64_t label;  // its row of `score`
  std::string name;
};

/// The row of `label`. Classifiers number their labels where they do not name them.
int64_t find_label(const Json& config, const std::string& label, int64_t count, const std::string& where) {
  if (count == 1 && label.empty()) return 0;
  const Json names = optional<Json>(config, "id2label", where, Json::object());
  std::vector<std::string> known;
  for (int64_t i = 0; i < count; ++i) {
    const std::string number = std::to_string(i);
    known.push_back(names.is_object() ? names.value(number, number) : number);
    if (label == number || label == known.back()) return i;
  }
  if (label.empty())
    throw UserError("{}: it has {} labels; want the one that is paid for in 'reward_label': {}", where, count,
                    join(known));
  throw unknown_name(where, "label", label, known);
}

Classifier load(const std::filesystem::path& folder, const std::string& label, const ModelOptions& compute) {
  const ModelFolder files = ModelFolder::open(folder);
  const std::string where = (folder / "config.json").string();
  Json config = files.config();
  const Json architectures = optional<Json>(config, "architectures", where, Json::array());
  const std::string architecture = architectures.size() == 1 && architectures[0].is_string()
                                       ? architectures[0].get<std::string>()
                                       : std::string();
  if (!architecture.ends_with(kClassifies))
    throw UserError("{}: 'architectures' is {}, want one that ends in {}", where, to_line(architectures),
                    kClassifies);
  // The same decoder as of a language model, without its head.
  config["architectures"] =
      Json::array({architecture.substr(0, architecture.size() - kClassifies.size()) + kWrites});
  config["tie_word_embeddings"] = true;
  if (!files.has("score.weight"))
    throw UserError("{}: the tensor 'score.weight' is missing: nothing in it classifies", folder.string());
  auto body = Model::load(files, read_model_config(config, where), {"score.weight"}, compute);
  const Tensor score = files.tensor("score.weight").to(body->device(), at::kFloat);
  if (score.dim() != 2 || score.size(1) != body->config().width)
    throw UserError("{}: the tensor 'score.weight' has {} dimensions and ends in {}, want [labels,{}]",
                    folder.string(), score.dim(), score.size(-1), body->config().width);
  const int64_t row = find_label(files.config(), label, score.size(0), where);
  return {std::move(body), score, Tokenizer::load(folder), ChatTemplate::load(folder), row, folder.string()};
}

TokenRow encode(const Classifier& classifier, const std::string& prompt, const std::string& response) {
  const std::vector<Message> messages = {{"user", prompt}, {"assistant", response}};
  TokenRow row;
  row.ids = classifier.tokenizer
                .encode(classifier.chat.render(messages, /*add_generation_prompt=*/false).text,
                        /*add_special_tokens=*/false)
                .ids;
  classifier.tokenizer.check_ids(row.ids, classifier.body->config().vocabulary, "reward");
  row.answer.assign(row.ids.size(), false);
  const int64_t context = classifier.body->config().context;
  if (static_cast<int64_t>(row.ids.size()) > context)
    throw UserError("reward: {}: the chat about '{}' has {} tokens, and its context is {}", classifier.name,
                    prompt, row.ids.size(), context);
  return row;
}

}  // namespace

RewardFn model_reward(const std::filesystem::path& folder, const std::string& label,
                      const ModelOptions& compute) {
  const auto classifier = std::make_shared<const Classifier>(load(folder, label, compute));
  return [classifier](const std::vector<std::string>& prompts, const std::vector<std::string>& responses) {
    const at::NoGradGuard no_grad;
    std::vector<TokenRow> rows;
    for (size_t i = 0; i < prompts.size(); ++i) rows.push_back(encode(*classifier, prompts[i], responses[i]));
    std::vector<double> rewards;
    for (size_t begin = 0; begin < rows.size(); begin += kChatsAtOnce) {
      const auto some = std::span(rows).subspan(begin, std::min(kChatsAtOnce, rows.size() - begin));
      std::vector<std::vector<int64_t>> places;
      const Batch batch = pack(some, classifier->body->device(), &places);
      std::vector<int64_t> last;
      for (const std::vector<int64_t>& of_row : places) last.push_back(of_row.back());
      const Tensor hidden = classifier->body->forward(batch.tokens)
                                .index_select(0, at::tensor(last).to(classifier->body->device()))
                                .to(at::kFloat);
      const Tensor logits = hidden.matmul(classifier->score.t());  // [R,K]
      const Tensor paid = logits.size(1) == 1 ? logits : logits.softmax(1);
      for (int64_t r = 0; r < paid.size(0); ++r) rewards.push_back(paid[r][classifier->label].item<double>());
    }
    return rewards;
  };
}

}  // namespace caltrop
