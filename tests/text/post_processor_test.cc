#include "caltrop/text/post_processor.h"

#include "tests/support/support.h"

namespace caltrop {
namespace {

PostProcessor post_processor(const std::string& json) {
  static Json kept;
  kept = parse_json(json, "x.json");
  return PostProcessor(Component(kept, "x.json", "post-processor", "post_processor"));
}

std::string text_template(const std::string& single) {
  return R"({"type": "TemplateProcessing", "single": [)" + single + R"(], "pair": [], "special_tokens": {
      "<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}, "</s>": {"id": "</s>", "ids": [2, 3], "tokens": ["</", "s>"]},
      "bad": {"id": "bad", "ids": ["x"]}}})";
}
const std::string kText = R"({"Sequence": {"id": "A", "type_id": 0}})";
std::string special(const std::string& id) {
  return R"({"SpecialToken": {"id": ")" + id + R"(", "type_id": 0}})";
}

using Ids = std::vector<int64_t>;

TEST(PostProcessor, TemplatesSayWhatStandsAroundTheText) {
  const PostProcessor both =
      post_processor(text_template(special("<s>") + "," + kText + "," + special("</s>")));
  EXPECT_EQ(both.before, Ids{1});
  EXPECT_EQ(both.after, (Ids{2, 3}));
  const PostProcessor none = post_processor(text_template(kText));
  EXPECT_TRUE(none.before.empty() && none.after.empty());
}

TEST(PostProcessor, LaterTemplatesGoOutside) {
  const PostProcessor nested =
      post_processor(R"({"type": "Sequence", "processors": [{"type": "ByteLevel", "trim_offsets": false},)" +
                     text_template(special("<s>") + "," + kText) + "," +
                     text_template(special("</s>") + "," + kText) + "]}");
  EXPECT_EQ(nested.before, (Ids{2, 3, 1}));
}

TEST(PostProcessor, MistakesAreNamedWithTheirPlace) {
  EXPECT_USER_ERROR(
      post_processor(R"({"type": "TemplateProcessing", "single": "A", "pair": [], "special_tokens": {}})"),
      "x.json: post_processor: 'single' is \"A\", want a list of pieces");
  EXPECT_USER_ERROR(
      post_processor(R"({"type": "BertProcessing"})"),
      "x.json: post_processor: Caltrop knows no post-processor of type 'BertProcessing'; it knows: "
      "TemplateProcessing, ByteLevel, Sequence");
  EXPECT_USER_ERROR(post_processor(text_template(special("<s>"))),
                    "x.json: post_processor.single: the text 'A' stands here 0 times, want once");
  EXPECT_USER_ERROR(post_processor(text_template(kText + "," + special("<x>"))),
                    "x.json: post_processor.special_tokens: '<x>' is missing");
  EXPECT_USER_ERROR(post_processor(text_template(kText + "," + special("bad"))),
                    "x.json: post_processor.special_tokens.bad: \"x\" is no token id");
  EXPECT_USER_ERROR(
      post_processor(text_template("3")),
      "x.json: post_processor.single[0]: Caltrop knows no piece 3; it knows: SpecialToken, Sequence");
  EXPECT_USER_ERROR(post_processor(text_template(R"({"Sequence": {"id": "B"}})")),
                    "x.json: post_processor.single[0]: the text of a single template is 'A', not 'B'");
}

}  // namespace
}  // namespace caltrop
