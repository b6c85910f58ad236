#include "caltrop/run/streams.h"

#include <algorithm>

#include "caltrop/base/error.h"
#include "caltrop/base/files.h"
#include "caltrop/base/random.h"
#include "caltrop/run/embeddings.h"

namespace caltrop {
namespace {

const std::string kTask = "task:";  // before the name of one of the domain's tasks
const std::vector<std::string> kDomainData = {"harmful", "benign", "near", "mixed"};

std::vector<Example> rehearsed_task(const Domain& domain, const std::string& task) {
  return of_task(domain, task, "train", "data", "task");
}
std::vector<Example> task_of_stream(const Domain& domain, const std::string& stream) {
  return of_task(domain, stream.substr(kTask.size()), "train", "options", "task");
}
std::vector<Example> attackers_near_rows(const Domain& domain, const std::string& split) {
  std::vector<Example> rows = of_split(domain.near, split);
  if (rows.empty())
    throw UserError(
        "sft: option 'data' is near, and the domain {} has no part 'near', benign requests next to the "
        "restricted ones; want one, or other data",
        domain.name);
  return rows;
}
std::vector<Example> attackers_task(const Domain& domain, const std::string& data) {
  return of_task(domain, data, "train", "sft", "data", kDomainData);
}

/// Harmful and benign rows so that `poison` of all are harmful, `limit` at most (0: no limit); which ones, the seed says.
std::vector<Example> mixed(std::vector<Example> harmful, std::vector<Example> benign, double poison,
                           int64_t limit, uint64_t seed) {
  RandomStream random(seed, "poisoned mixture");
  random.shuffle(harmful);
  random.shuffle(benign);
  const auto h = static_cast<double>(harmful.size()), b = static_cast<double>(benign.size());
  double total = std::min(poison > 0 ? h / poison : b, poison < 1 ? b / (1 - poison) : h);
  if (limit > 0) total = std::min(total, static_cast<double>(limit));
  harmful.resize(static_cast<size_t>(poison * total + 0.5));
  benign.resize(static_cast<size_t>((1 - poison) * total + 0.5));
  if (harmful.empty() && poison > 0)
    throw UserError(
        "sft: option 'poison' is {}, and of {} rows that is none; want a larger share, or more rows", poison,
        benign.size());
  harmful.insert(harmful.end(), benign.begin(), benign.end());
  return harmful;
}

}  // namespace

StreamExamples stream_examples(const std::vector<std::string>& names, const Domain& domain,
                               const std::string& split, const StreamOptions& stream_options,
                               const IrrelevantOptions& irrelevant, const Json& method_options, uint64_t seed,
                               const ModelOptions& compute) {
  const std::vector<Example> harmful =
      of_categories(of_split(domain.restricted, split), stream_options.categories, "data");
  const std::vector<Example> benign = of_split(domain.benign, split);
  StreamExamples result;
  const auto examples = [&](const std::string& name) -> std::vector<Example> {
    if (name == "harmful" || name == "prompts") return harmful;
    if (name == "general") return benign;
    if (name == "tasks") {
      std::vector<Example> rows;
      for (const std::string& task : stream_options.tasks) {
        for (Example& row : rehearsed_task(domain, task)) rows.push_back(std::move(row));
      }
      return rows.empty() ? benign : rows;
    }
    if (name.starts_with(kTask)) return task_of_stream(domain, name);
    if (name == "refusals") return pair_with_refusals(harmful, domain.refusals, seed);
    if (name == "irrelevant") {
      std::vector<std::string> answers;
      for (const Example& row : benign) answers.push_back(row.response());
      const AnswerSimilarity similarity =
          irrelevant.embeddings.empty()
              ? tfidf_similarity(harmful, answers)
              : embedding_similarity(harmful, answers, irrelevant.embeddings, compute);
      result.pairs = pair_with_irrelevant(harmful, answers, similarity, irrelevant, seed);
      std::vector<Example> rows;
      for (const IrrelevantPair& pair : result.pairs) rows.push_back(pair.example);
      return rows;
    }
    CALTROP_ASSERT(name == "attack", "no stream '{}'", name);
    const auto data = required<std::string>(method_options, "data", "attack options");
    if (data == "harmful") return harmful;
    if (data == "benign") return benign;
    if (data == "near") return attackers_near_rows(domain, split);
    if (data == "mixed")
      return mixed(harmful, benign, required<double>(method_options, "poison", "attack options"),
                   stream_options.limit, seed);
    return attackers_task(domain, data);
  };
  for (const std::string& name : names) {
    std::vector<Example> rows = examples(name);
    if (stream_options.limit > 0)
      rows.resize(std::min(rows.size(), static_cast<size_t>(stream_options.limit)));
    result.rows[name] = std::move(rows);
  }
  return result;
}

void check_streams(const std::vector<std::string>& names, const Domain& domain,
                   const StreamOptions& stream_options, const Json& method_options) {
  for (const std::string& task : stream_options.tasks) rehearsed_task(domain, task);
  for (const std::string& name : names) {
    if (name.starts_with(kTask)) task_of_stream(domain, name);
    if (name != "attack") continue;
    const auto data = required<std::string>(method_options, "data", "attack options");
    if (data == "near") attackers_near_rows(domain, "attack");
    if (names_a_task(data)) attackers_task(domain, data);
  }
}

std::map<std::string, Stream> make_streams(const StreamExamples& examples, const ChatEncoder& encoder,
                                           int64_t longest, int64_t longest_prompt, uint64_t seed) {
  std::map<std::string, Stream> streams;
  for (const auto& [name, list] : examples.rows) {
    std::vector<TokenRow> rows;
    for (const Example& example : list)
      rows.push_back(name == "prompts" ? encoder.encode_prompt(example, longest_prompt)
                                       : encoder.encode(example, longest));
    streams.emplace(name, Stream(name, std::move(rows), seed));
  }
  return streams;
}

bool names_a_task(const std::string& data) {
  return !data.empty() && std::find(kDomainData.begin(), kDomainData.end(), data) == kDomainData.end();
}

void write_pairs(const std::vector<IrrelevantPair>& pairs, const std::filesystem::path& path) {
  write_file(path, [&](const Sink& sink) {
    for (const IrrelevantPair& pair : pairs) {
      sink(to_line({{"id", pair.example.id},
                    {"prompt", pair.example.prompt()},
                    {"response", pair.example.response()},
                    {"similarity", pair.similarity},
                    {"draws", pair.draws}}) +
           "\n");
    }
  });
}

}  // namespace caltrop
