#include "caltrop/train/objective.h"

namespace caltrop {

const Entry& find_entry(const std::vector<const Entry*>& entries, const std::string& kind,
                        const std::string& name, const std::string& who) {
  std::vector<std::string> known;
  for (const Entry* entry : entries) {
    if (entry->name == name) return *entry;
    known.push_back(entry->name);
  }
  throw unknown_name(who, kind, name, known);
}

}  // namespace caltrop
