#include "caltrop/report/examples.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "caltrop/base/files.h"

namespace caltrop {
namespace {

using PromptKey = std::pair<std::string, std::string>;  // set, id

std::vector<SamplesFile> samples_of(const Proof& proof, const Cell& cell) {
  const auto run = path_inside(proof.root, cell.run, (proof.root / "verdict.json").string());
  return list_samples(run / "samples");
}

/// The first prompts of each set, of categories not yet chosen first.
std::vector<PromptKey> choose_prompts(const std::vector<Sample>& samples, size_t per_set) {
  std::map<std::string, std::vector<const Sample*>> sets;
  for (const Sample& sample : samples) sets[sample.set].push_back(&sample);
  std::vector<PromptKey> chosen;
  for (auto& [set, prompts] : sets) {
    std::map<std::string, int64_t> seen;  // prompts before this one in its category
    std::map<const Sample*, int64_t> turn;
    for (const Sample* prompt : prompts) turn[prompt] = seen[prompt->category]++;
    std::stable_sort(prompts.begin(), prompts.end(), [&](auto* a, auto* b) { return turn[a] < turn[b]; });
    for (size_t i = 0; i < std::min(per_set, prompts.size()); ++i) chosen.emplace_back(set, prompts[i]->id);
  }
  // What was restricted comes first: it is what the reader wants to know.
  std::stable_partition(chosen.begin(), chosen.end(),
                        [](const PromptKey& key) { return key.first == "restricted"; });
  return chosen;
}

/// The files of before, during and after, without repetition.
std::vector<std::pair<std::string, SamplesFile>> stages(const Cell& cell,
                                                        const std::vector<SamplesFile>& files) {
  std::vector<std::pair<std::string, SamplesFile>> found = {{"before", files.front()}};
  if (files.size() > 2) {
    SamplesFile during = files[files.size() / 2];
    for (const TrajectoryPoint& point : cell.trajectory) {
      if (point.outcome == cell.trajectory.front().outcome) continue;
      const auto at = std::find_if(files.begin() + 1, files.end() - 1,
                                   [&](const SamplesFile& file) { return file.step == point.step; });
      if (at != files.end() - 1) during = *at;
      break;
    }
    found.emplace_back("during", during);
  }
  if (files.size() > 1) found.emplace_back("after", files.back());
  return found;
}

}  // namespace

std::vector<ExampleGroup> choose_examples(const Proof& proof, size_t per_set) {
  std::map<std::pair<std::string, std::string>, const Cell*> first_seed;
  std::vector<const Cell*> order;
  for (const Cell& cell : proof.cells) {
    if (cell.run.empty() || samples_of(proof, cell).empty()) continue;
    const Cell*& known = first_seed[{cell.model, cell.attack}];
    if (known == nullptr || cell.seed < known->seed) known = &cell;
  }
  for (const Cell& cell : proof.cells) {
    const auto it = first_seed.find({cell.model, cell.attack});
    if (it != first_seed.end() && it->second == &cell) order.push_back(&cell);
  }

  std::vector<ExampleGroup> groups;
  std::vector<PromptKey> prompts;  // of the first cell, and then for all: models are to be compared
  for (const Cell* cell : order) {
    ExampleGroup group{cell->model, cell->attack, cell->arm, cell->seed, {}};
    std::map<PromptKey, ShownAnswer> examples;
    for (const auto& [stage, file] : stages(*cell, samples_of(proof, *cell))) {
      std::vector<Sample> samples = read_samples(file.path);
      if (prompts.empty()) prompts = choose_prompts(samples, per_set);
      for (Sample& sample : samples) {
        const PromptKey key{sample.set, sample.id};
        if (std::find(prompts.begin(), prompts.end(), key) == prompts.end()) continue;
        ShownAnswer& example = examples[key];
        example.set = sample.set, example.id = sample.id, example.prompt = sample.prompt;
        example.answers.push_back({stage, file.step, std::move(sample)});
      }
    }
    for (const PromptKey& key : prompts) {
      if (examples.contains(key)) group.examples.push_back(std::move(examples[key]));
    }
    if (!group.examples.empty()) groups.push_back(std::move(group));
  }
  return groups;
}

}  // namespace caltrop
