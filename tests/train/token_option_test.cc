#include "caltrop/train/token_option.h"

#include "tests/support/support.h"
#include "tests/support/tiny_model.h"

namespace caltrop {
namespace {

TEST(TokenOption, IsTheLastTokenAndOneOfTheModels) {
  const auto model = test::tiny_model();
  const Tokenizer tokenizer = Tokenizer::load(test::data_file("tiny-model"));
  EXPECT_EQ(last_token("A!", "trap", "says", *model, tokenizer), tokenizer.encode("!", false).ids.back());
  EXPECT_USER_ERROR(last_token("", "trap", "says", *model, tokenizer),
                    "trap: option 'says' is '', which has no tokens");
  const std::string end = " error";
  const int64_t id = tokenizer.encode(end, false).ids.back();
  ASSERT_GE(id, model->config().vocabulary) << "the tiny model knows few tokens";
  EXPECT_USER_ERROR(
      last_token(end, "trap", "says", *model, tokenizer),
      fmt::format(
          "trap: option 'says' is ' error', whose last token is {}, and the model knows 61 tokens: does its "
          "tokenizer belong to it?",
          id));
}

TEST(TokenOption, IsAnIdOfTheModels) {
  const auto model = test::tiny_model();
  EXPECT_EQ(token_of_id(60, "trap", "token", *model), 60);
  EXPECT_USER_ERROR(token_of_id(61, "trap", "token", *model),
                    "trap: option 'token' is 61, and the model knows the tokens 0 to 60");
}

}  // namespace
}  // namespace caltrop
