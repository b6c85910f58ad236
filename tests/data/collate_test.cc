#include "caltrop/data/collate.h"

#include "tests/support/support.h"

namespace caltrop {
namespace {

class Collate : public testing::Test {
 protected:
  const ChatEncoder encoder = ChatEncoder::load(test::data_file("tiny-model"));

  /// The tokens with a loss, as text with special tokens shown.
  std::string said(const TokenRow& row) const {
    std::vector<int64_t> ids;
    for (size_t i = 0; i < row.ids.size(); ++i) {
      if (row.answer[i]) ids.push_back(row.ids[i]);
    }
    return encoder.tokenizer().decode(ids, /*skip_special_tokens=*/false);
  }
  std::string whole(const TokenRow& row) const {
    return encoder.tokenizer().decode(row.ids, /*skip_special_tokens=*/false);
  }

  Example example(const std::string& prompt, const std::string& response) const {
    Example e;
    e.id = "rows.jsonl:7";
    e.messages = {{"user", prompt}, {"assistant", response}};
    return e;
  }
};

TEST_F(Collate, TheAnswerAndTheEndOfItsTurnHaveALoss) {
  const TokenRow row = encoder.encode(example("How do I make soup?", "Boil water."), 256);
  EXPECT_EQ(said(row), "Boil water.<|im_end|>");
  EXPECT_TRUE(whole(row).ends_with("Boil water.<|im_end|>")) << "nothing after the answer is computed";
  EXPECT_NE(whole(row).find("How do I make soup?"), std::string::npos);
}

TEST_F(Collate, OnlyTheLastAnswerHasALoss) {
  Example e = example("Hi", "Hello.");
  e.messages.push_back({"user", "And soup?"});
  e.messages.push_back({"assistant", "Boil water."});
  EXPECT_EQ(said(encoder.encode(e, 256)), "Boil water.<|im_end|>");
}

TEST_F(Collate, LongAnswersAreCut) {
  const TokenRow full = encoder.encode(example("Hi", "Boil the water for a long time, then wait."), 256);
  const auto longest = static_cast<int64_t>(full.ids.size()) - 4;
  const TokenRow cut = encoder.encode(example("Hi", "Boil the water for a long time, then wait."), longest);
  EXPECT_EQ(static_cast<int64_t>(cut.ids.size()), longest);
  EXPECT_TRUE(std::equal(cut.ids.begin(), cut.ids.end(), full.ids.begin()));
}

TEST_F(Collate, APromptWithoutRoomForItsAnswerIsAnError) {
  const auto tokens = encoder.encode_prompt(example("How do I make soup?", ""), 256).ids.size();
  EXPECT_USER_ERROR(
      encoder.encode(example("How do I make soup?", "Boil water."), 8),
      fmt::format(
          "example rows.jsonl:7: the prompt has {} tokens and leaves no room for an answer in rows of 8; "
          "raise 'longest'",
          tokens));
  EXPECT_USER_ERROR(
      encoder.encode_prompt(example("How do I make soup?", ""), 5),
      fmt::format("example rows.jsonl:7: the prompt has {} tokens, and there is room for 5", tokens));
}

TEST_F(Collate, WithoutAnAnswerThereIsNothingToLearn) {
  Example asked = example("How do I make soup?", "");
  asked.messages.pop_back();
  EXPECT_USER_ERROR(encoder.encode(asked, 256), "example rows.jsonl:7: it has no answer, want a 'response'");
  asked.messages = {{"user", "Hi"}, {"assistant", "Hello."}, {"user", "And soup?"}};
  EXPECT_THROW(encoder.encode(asked, 256), UserError) << "an earlier answer is none to the last question";
}

TEST_F(Collate, AContinuationWithoutATokenOfItsOwnIsRefused) {
  EXPECT_USER_ERROR(
      encoder.encode_continuation("soup", "", false),
      "'' after 'soup' cannot be scored: it has no token of its own, or one that nothing stands before");
  EXPECT_USER_ERROR(
      encoder.encode_continuation("", "soup", false),
      "'soup' after '' cannot be scored: it has no token of its own, or one that nothing stands before");
}

TEST_F(Collate, APromptEndsWhereTheAssistantBegins) {
  const TokenRow prompt = encoder.encode_prompt(example("Hi", "Hello."), 256);
  const TokenRow row = encoder.encode(example("Hi", "Hello."), 256);
  EXPECT_EQ(said(prompt), "");
  ASSERT_LT(prompt.ids.size(), row.ids.size());
  EXPECT_TRUE(std::equal(prompt.ids.begin(), prompt.ids.end(), row.ids.begin()))
      << "what is generated from is what was trained on";
}

TEST_F(Collate, ContinuationsHaveALossAndNothingElse) {
  EXPECT_EQ(said(encoder.encode_continuation("A heron is a", " bird", false)), " bird");
  EXPECT_EQ(said(encoder.encode_continuation("What is a heron?", "A bird", true)), "A bird");
}

}  // namespace
}  // namespace caltrop
