#include "caltrop/base/fields.h"

#include <algorithm>

namespace caltrop {

std::string options_help(const std::vector<OptionRow>& rows, int indent) {
  size_t width = 0;
  for (const OptionRow& row : rows) width = std::max(width, row.name.size() + row.type.size() + 1);
  std::string text;
  for (const OptionRow& row : rows) {
    text += fmt::format("{:{}}{:<{}}  {} [{}]\n", "", indent, row.name + "=" + row.type, width, row.help,
                        row.fallback);
  }
  return text;
}

}  // namespace caltrop
