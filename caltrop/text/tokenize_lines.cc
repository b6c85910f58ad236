#include "caltrop/text/tokenize_lines.h"

#include <algorithm>

#include "caltrop/base/error.h"
#include "caltrop/base/json.h"

namespace caltrop {

void tokenize_lines(const Tokenizer& tokenizer, std::istream& in, std::ostream& out,
                    const std::string& source) {
  int64_t number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const Json value = parse_json(line, source, number);
    if (value.is_string()) {
      out << to_line(tokenizer.encode(value.get_ref<const std::string&>(), /*add_special_tokens=*/true).ids)
          << '\n';
    } else if (value.is_array() && std::all_of(value.begin(), value.end(),
                                               [](const Json& id) { return id.is_number_integer(); })) {
      const auto ids = value.get<std::vector<int64_t>>();
      out << to_line(tokenizer.decode(ids, /*skip_special_tokens=*/false)) << '\n';
    } else {
      throw UserError("{}: line {}: neither a JSON string nor a list of ids", source, number);
    }
  }
}

}  // namespace caltrop
