#include "caltrop/report/escape.h"

#include "tests/support/support.h"

namespace caltrop {
namespace {

std::string marked(const std::string& picture) {
  return fmt::format("<span class=\"ctl\">{}</span>", picture);
}

TEST(HtmlText, MarkupIsText) {
  EXPECT_EQ(html_text("<script>alert(\"1\" & '2')</script>"),
            "&lt;script&gt;alert(&quot;1&quot; &amp; &#39;2&#39;)&lt;/script&gt;");
}

TEST(HtmlText, OrdinaryTextOfAnyScriptStaysAsItIs) {
  for (const char* text : {"leek soup\n\tserves 4", "Größe → 5 €", "שלום", "スープ", "🍲", "e\u0301"}) {
    EXPECT_EQ(html_text(text), text);
  }
}

TEST(HtmlText, WhatCannotBeSeenIsShown) {
  EXPECT_EQ(html_text(std::string("a\0b", 3)), fmt::format("a{}b", marked("\\x00")));
  EXPECT_EQ(html_text("\x1b[31m"), marked("\\x1b") + "[31m");
  EXPECT_EQ(html_text("\r\n"), marked("\\x0d") + "\n");
  EXPECT_EQ(html_text("\x7f"), marked("\\x7f"));
  EXPECT_EQ(html_text("\u0085"), marked("\\x85"));
  EXPECT_EQ(html_text("\u202egnp.exe"), marked("\\u202e") + "gnp.exe");
  for (const char* mark : {"\u061c", "\u200b", "\u200d", "\u200e", "\u200f", "\u2028", "\u2029", "\u202a",
                           "\u2060", "\u2066", "\u2069", "\ufeff", "\U000e0041"}) {
    EXPECT_THAT(html_text(mark), testing::StartsWith("<span class=\"ctl\">\\u")) << html_text(mark);
  }
}

TEST(HtmlText, BrokenUtf8BecomesReplacementCharactersOneAByte) {
  EXPECT_EQ(html_text("a\xff"), "a\uFFFD");
  EXPECT_EQ(html_text("\xc0\xaf"), "\uFFFD\uFFFD");                      // overlong "/"
  EXPECT_EQ(html_text("\xe0\x80\xbc"), "\uFFFD\uFFFD\uFFFD");            // overlong "<"
  EXPECT_EQ(html_text("\xed\xa0\x80"), "\uFFFD\uFFFD\uFFFD");            // surrogate
  EXPECT_EQ(html_text("\xf4\x90\x80\x80"), "\uFFFD\uFFFD\uFFFD\uFFFD");  // beyond U+10FFFF
  EXPECT_EQ(html_text("\xe2\x82<"), "\uFFFD\uFFFD&lt;");  // cut short, and the markup after it still escaped
}

TEST(HtmlAttribute, HoldsNoTagAndNoQuote) {
  EXPECT_EQ(html_attribute("\" onload=x\u202e<b>\n"), "&quot; onload=x\\u202e&lt;b&gt;\\x0a");
}

TEST(TerminalText, EscapesCannotReachTheTerminal) {
  EXPECT_EQ(terminal_text("a\x1b]0;owned\x07 b\nc\u202e"), "a\\x1b]0;owned\\x07 b c\\u202e");
}

TEST(ScriptJson, CannotCloseItsElement) {
  const Json hostile = {{"</script><!--", "&\u2028\u2029<![CDATA["}};
  const std::string text = script_json(hostile);
  EXPECT_EQ(text, R"({"\u003c/script\u003e\u003c!--":"\u0026\u2028\u2029\u003c![CDATA["})");
  EXPECT_EQ(Json::parse(text), hostile);
}

TEST(ContentHash, IsThatOfTheStandard) {
  // The example of the Content Security Policy specification, section 6.7.2 (also: printf "alert('Hello,
  // world.');" | openssl dgst -sha256 -binary | base64).
  EXPECT_EQ(content_hash("alert('Hello, world.');"), "'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='");
}

}  // namespace
}  // namespace caltrop
