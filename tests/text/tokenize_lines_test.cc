#include "caltrop/text/tokenize_lines.h"

#include <sstream>

#include "tests/support/support.h"

namespace caltrop {
namespace {

std::string filter(const std::string& lines) {
  std::istringstream in(lines);
  std::ostringstream out;
  tokenize_lines(Tokenizer::load(test::data_file("tiny-model")), in, out, "lines");
  return out.str();
}

TEST(TokenizeLines, AnswersEachLineInKind) {
  EXPECT_EQ(filter("\"Hi!<|im_end|>\"\n\n[42, 75, 3]\n\"\"\n[]\n"), "[42,75,3,2]\n\"Hi!\"\n[]\n\"\"\n");
}

TEST(TokenizeLines, NamesTheLineThatIsNeither) {
  EXPECT_USER_ERROR(filter("\"a\"\n{}\n"), "lines: line 2: neither a JSON string nor a list of ids");
  EXPECT_USER_ERROR(filter("[1.5]\n"), "lines: line 1: neither a JSON string nor a list of ids");
}

}  // namespace
}  // namespace caltrop
