#include "caltrop/train/objective.h"

namespace caltrop {

const Entry& find_entry(const std::vector<const Entry*>& entries, const std::string& kind,
                        const std::string& name) {
  std::vector<std::string> known;
  for (const Entry* entry : entries) {
    if (entry->name == name) return *entry;
    known.push_back(entry->name);
  }
  throw unknown_name("caltrop", kind, name, known);
}

}  // namespace caltrop
