#include "caltrop/run/domain.h"

#include <algorithm>
#include <set>

#include "caltrop/base/error.h"
#include "caltrop/base/files.h"
#include "caltrop/base/yaml.h"
#include "caltrop/data/source.h"

namespace caltrop {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kParts = {"name",     "restricted", "benign", "near",
                                         "refusals", "choices",    "tasks",  "lexicon"};

fs::path path_of(const Json& yaml, const std::string& part, const fs::path& folder,
                 const std::string& where) {
  return folder / required<std::string>(yaml, part, where);
}

}  // namespace

Domain load_domain(const fs::path& file) {
  const std::string where = file.string();
  const Json yaml = read_yaml(file);
  const fs::path folder = file.parent_path();
  if (!yaml.is_object()) throw UserError("{}: a domain is an object with the parts {}", where, join(kParts));
  for (const auto& [key, value] : yaml.items()) {
    if (std::find(kParts.begin(), kParts.end(), key) == kParts.end())
      throw unknown_name(where, "part", key, kParts);
  }
  Domain domain;
  const auto rows = [&](const std::string& part) {
    const Json value = required<Json>(yaml, part, where);
    SourceSpec spec;
    read_options(spec, value.is_string() ? Json{{"path", value}} : value, where + ": " + part);
    spec.path = (folder / spec.path).string();
    LoadedSource loaded = load_examples(spec, where + ": " + part);
    domain.hashes[spec.path] = loaded.sha256;
    return std::move(loaded.examples);
  };
  domain.name = required<std::string>(yaml, "name", where);
  domain.restricted = rows("restricted");
  domain.benign = rows("benign");
  if (yaml.contains("near")) domain.near = rows("near");
  const fs::path refusals = path_of(yaml, "refusals", folder, where);
  read_json_lines(refusals, [&](const Json& row, int64_t line) {
    domain.refusals.push_back(
        required<std::string>(row, "response", fmt::format("{}:{}", refusals.string(), line)));
  });
  if (domain.refusals.empty()) throw UserError("{}: holds no refusals", refusals.string());
  domain.hashes[refusals.string()] = sha256_file(refusals);
  domain.choices = path_of(yaml, "choices", folder, where);
  domain.hashes[domain.choices.string()] = sha256_file(domain.choices);
  if (yaml.contains("tasks")) domain.tasks = rows("tasks");
  if (yaml.contains("lexicon")) {
    domain.lexicon = path_of(yaml, "lexicon", folder, where);
    domain.hashes[domain.lexicon.string()] = sha256_file(domain.lexicon);
  }
  const auto want_each_split = [&](const std::string& part, const std::vector<Example>& of_part) {
    for (const char* split : {"defence", "attack", "test"}) {
      if (of_split(of_part, split).empty())
        throw UserError("{}: {} has no rows with split '{}'", where, part, split);
    }
  };
  want_each_split("restricted", domain.restricted);
  want_each_split("benign", domain.benign);
  if (yaml.contains("near")) want_each_split("near", domain.near);
  return domain;
}

std::vector<Example> of_split(const std::vector<Example>& rows, const std::string& split) {
  std::vector<Example> chosen;
  for (const Example& row : rows) {
    if (optional<std::string>(row.extra, "split", row.id, "") == split) chosen.push_back(row);
  }
  return chosen;
}

std::vector<Example> of_categories(const std::vector<Example>& rows,
                                   const std::vector<std::string>& categories, const std::string& who) {
  if (categories.empty()) return rows;
  std::set<std::string> known;
  for (const Example& row : rows) known.insert(row.category);
  for (const std::string& category : categories) {
    if (!known.contains(category)) {
      throw unknown_name(who, "category", category, std::vector<std::string>(known.begin(), known.end()));
    }
  }
  std::vector<Example> chosen;
  for (const Example& row : rows) {
    if (std::find(categories.begin(), categories.end(), row.category) != categories.end())
      chosen.push_back(row);
  }
  return chosen;
}

std::vector<Example> of_task(const Domain& domain, const std::string& task, const std::string& split,
                             const std::string& who, const std::string& what,
                             const std::vector<std::string>& others) {
  std::set<std::string> known(others.begin(), others.end());
  std::vector<Example> rows;
  for (const Example& row : of_split(domain.tasks, split)) {
    const auto name = optional<std::string>(row.extra, "task", row.id, "");
    known.insert(name);
    if (name == task) rows.push_back(row);
  }
  if (rows.empty()) throw unknown_name(who, what, task, std::vector<std::string>(known.begin(), known.end()));
  return rows;
}

}  // namespace caltrop
