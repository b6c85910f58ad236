// The streams that methods measure, by name, made from a domain.
//
//   harmful     restricted requests with their answers
//   refusals    the same requests, refused
//   irrelevant  the same requests, each with a good answer to another question (SDD)
//   general     benign requests with their answers
//   tasks       rows of the benign tasks that `data.tasks` names; without one, as general
//   task:NAME   rows of that task alone
//   prompts     restricted requests alone, for those who answer them themselves
//   attack      what an attack trains on, as its options `data` and `poison` say
//
// Defences draw from the split "defence", attacks from "attack"; of tasks both have "train". Tested by tests/run/streams_test.cc.
#pragma once

#include <map>

#include "caltrop/data/collate.h"
#include "caltrop/data/pairing.h"
#include "caltrop/data/stream.h"
#include "caltrop/model/model.h"
#include "caltrop/run/domain.h"

namespace caltrop {

struct StreamOptions {
  std::vector<std::string> categories, tasks;
  int64_t limit = 0;

  static auto fields() {
    using O = StreamOptions;
    return std::tuple{field("categories", &O::categories, "restricted categories to use; empty: all"),
                      field("tasks", &O::tasks, "benign tasks that a defence may rehearse; empty: none"),
                      field("limit", &O::limit, 0, 1e9, "use only this many rows of each stream; 0: all")};
  }
};

/// The rows of each stream before they are tokens.
struct StreamExamples {
  std::map<std::string, std::vector<Example>> rows;
  std::vector<IrrelevantPair> pairs;  // of "irrelevant", with their similarity; empty without that stream
};

/// `options`: of the method, for "attack". `split`: whose rows. `compute`: of the model that embeds texts. Throws UserError for unknown categories and data.
StreamExamples stream_examples(const std::vector<std::string>& names, const Domain& domain,
                               const std::string& split, const StreamOptions& stream_options,
                               const IrrelevantOptions& irrelevant, const Json& method_options, uint64_t seed,
                               const ModelOptions& compute = {});

/// Whether the domain has what those streams are made of: throws what stream_examples would, without making any.
void check_streams(const std::vector<std::string>& names, const Domain& domain,
                   const StreamOptions& stream_options, const Json& method_options);

/// `longest`: tokens of a row. `longest_prompt`: tokens of a row of "prompts", for the answer to fit into the model's context.
/// Throws UserError for a prompt that leaves no room for an answer.
std::map<std::string, Stream> make_streams(const StreamExamples& examples, const ChatEncoder& encoder,
                                           int64_t longest, int64_t longest_prompt, uint64_t seed);

/// Whether an attack's `data` is the name of a benign task rather than harmful, benign, near or mixed.
bool names_a_task(const std::string& data);

/// SDD's pairs as JSON lines, for inspection.
void write_pairs(const std::vector<IrrelevantPair>& pairs, const std::filesystem::path& path);

}  // namespace caltrop
