// Columns of text for a terminal.
#pragma once

#include <string>
#include <vector>

namespace caltrop {

/// Lines of cells as aligned columns, two blanks apart, each line after `indent`. Widths are counted in code
/// points: every mark we print is one column wide. REQUIRES lines of equal length, at least one.
std::string aligned(const std::vector<std::vector<std::string>>& lines, const std::string& indent);

}  // namespace caltrop
