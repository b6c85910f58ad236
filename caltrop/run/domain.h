// A restricted domain as files: what must not be taught, what must stay, how ability is measured.
//
// One YAML file names the parts (data/kitchen/domain.yaml is the example). A value is a path, or an object
// {path, format, fields, filter} for files of another shape (data/source.h). Rows are split by their field
// `split`: "defence" rows train defences, "attack" rows train attacks, "test" rows are only ever evaluated
// on. Tested by tests/run/domain_test.cc.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "caltrop/base/json.h"
#include "caltrop/data/example.h"

namespace caltrop {

struct Domain {
  std::string name;
  std::vector<Example> restricted, benign;  // of all splits
  std::vector<Example> near;                // the same, benign and next to the restricted ones; may be empty
  std::vector<std::string> refusals;
  std::vector<Example> tasks;              // extra["task"], extra["split"]; may be empty
  std::filesystem::path choices, lexicon;  // lexicon may be empty: then there is no lexicon judge
  Json hashes = Json::object();            // file -> SHA-256, for manifests
};

/// Throws UserError for a missing part, a bad row, or a split that has no rows.
Domain load_domain(const std::filesystem::path& yaml);

/// The rows of one split.
std::vector<Example> of_split(const std::vector<Example>& rows, const std::string& split);

/// The rows whose category is in `categories`; all if that is empty. Throws UserError for a category that no
/// row has.
std::vector<Example> of_categories(const std::vector<Example>& rows,
                                   const std::vector<std::string>& categories, const std::string& who);

/// The rows of one split ("train" or "test") of a benign task. Throws UserError, "<who>: no <what> …", for a task that is not
/// there, naming those that are and `others`, which would do as well.
std::vector<Example> of_task(const Domain& domain, const std::string& task, const std::string& split,
                             const std::string& who, const std::string& what,
                             const std::vector<std::string>& others = {});

}  // namespace caltrop
