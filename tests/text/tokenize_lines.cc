// tokenize_lines FOLDER [times]: the filter of caltrop/text/tokenize_lines.h with the folder's
// tokenizer.json, for tools/compare_tokenizers.py. With a number it encodes all of standard input so many
// times and prints MB/s instead.
#include "caltrop/text/tokenize_lines.h"

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <iterator>

#include "caltrop/base/error.h"

namespace {

void measure(const caltrop::Tokenizer& tokenizer, int times) {
  const std::string text(std::istreambuf_iterator<char>(std::cin), {});
  size_t tokens = 0;
  const std::clock_t start = std::clock();
  for (int i = 0; i < times; ++i) tokens += tokenizer.encode(text, false).ids.size();
  const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  std::printf("%.1f MB/s, %.1f million tokens/s\n", 1e-6 * static_cast<double>(text.size()) * times / seconds,
              1e-6 * static_cast<double>(tokens) / seconds);
}

}  // namespace

int main(int count, char** words) {
  try {
    if (count != 2 && count != 3) throw caltrop::UserError("usage: tokenize_lines FOLDER [times]");
    const auto tokenizer = caltrop::Tokenizer::load(words[1]);
    if (count == 3) {
      measure(tokenizer, std::atoi(words[2]));
    } else {
      caltrop::tokenize_lines(tokenizer, std::cin, std::cout, "standard input");
    }
  } catch (const caltrop::UserError& error) {
    std::fprintf(stderr, "tokenize_lines: %s\n", error.what());
    return 2;
  }
}
