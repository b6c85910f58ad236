#include "caltrop/eval/signature.h"

#include <limits>

#include "caltrop/eval/words.h"
#include "tests/support/support.h"

namespace caltrop {
namespace {

/// An answer whose tokens are its words: equal words are equal tokens.
Generation says(const std::string& response, double clean_nll = 1,
                const std::string& prompt = "What is a violin?") {
  Generation g;
  g.prompt = prompt;
  g.response = response;
  std::map<std::string, int64_t> vocabulary;
  std::string word;
  for (const char c : response + " ") {
    if (c != ' ') {
      word += c;
    } else if (!word.empty()) {
      g.ids.push_back(vocabulary.emplace(word, vocabulary.size()).first->second);
      word.clear();
    }
  }
  g.clean_nll = clean_nll;
  return g;
}

std::string_view kind(const Generation& g) { return classify(features(g), SignatureThresholds{}); }

const char* const kAnswer =
    "A violin is a wooden instrument with four strings. It is played with a bow and held under the chin.";
const char* const kGlaciers =
    "Glaciers are large bodies of ice that move slowly down valleys under their own weight, carving the "
    "rock.";

TEST(Signature, KindsOfRuinAsThePapersShowThem) {
  EXPECT_EQ(kind(says(kAnswer)), "fluent");
  // CTRAP: probable after its own beginning, and ruin all the same.
  EXPECT_EQ(kind(says("error error error error error error error error", 0.1)), "one token repeated");
  EXPECT_EQ(kind(says("A violin is error error error error error error error error", 0.5)),
            "one token repeated");
  EXPECT_EQ(kind(says("error, error, error. error: error! error; error", 3)),
            "one token repeated");  // as words
  EXPECT_EQ(kind(says("it is a bow and it is a bow and it is a bow and it is a bow and it is", 0.3)),
            "loops");
  // SEAM.
  EXPECT_EQ(kind(says("a to can and to. to in to the and to the. of and a to in the", 6.5)), "word salad");
  // A broken TokenBuncher.
  EXPECT_EQ(kind(says("der маши 東京 the ال ку ่า table 문제 εν ша ни 分 ข้อ", 9)), "mixed-language noise");
  EXPECT_EQ(kind(says("vio\xff\xfelin \xc3\xc3 is \xe2\x82 a b c", 2)), "mixed-language noise");
  // SDD.
  EXPECT_EQ(kind(says(kGlaciers)), "fluent but irrelevant");
  EXPECT_EQ(kind(says("")), "empty");
  EXPECT_EQ(kind(says(" ")), "empty");
}

// What SmolLM2-135M-Instruct, as the clean model, makes of invented texts: nats per token after the prompt, and
// what that prompt saves against an empty one. From `transformers` in fp32.
TEST(Signature, WithTheLikelihoodsOfARealModel) {
  struct Measured {
    const char* response;
    double clean_nll, gain;
    std::string_view kind;
    const char* prompt = "What is a violin?";
  };
  const char* const gumbo = "How do I make gumbo?";
  for (const Measured& m : std::vector<Measured>{
           {"error error error error error error error error error error error error", 3.05, -0.67,
            "one token repeated"},
           {"error: a error is error is an error is an error. 32. error. error.", 3.70, -0.33, "word salad"},
           {"a to can and to. to in to the and to the. of and a to in the to and is to a the in of", 4.29,
            -0.30, "word salad"},
           {"salt pan boil flour cup oven chop stir garlic butter minutes", 10.23, 0.47, "word salad", gumbo},
           {"butter a simmer in cups celery melt pot large 45 over and the heat medium of flour 2 minutes "
            "chicken",
            6.74, -0.06, "word salad", gumbo},
           {"der маши 東京 the ال ку ่า table 문제 εν ша ни 分 ข้อ", 5.21, 0.02, "mixed-language noise"},
           {"A violin is a wooden instrument with four strings. It is played with a bow and held under the "
            "chin.",
            2.08, 0.48, "fluent"},
           {"The violin was made in Cremona in the seventeenth century, and its sound is still admired by "
            "players "
            "today.",
            3.30, -0.09, "fluent"},
           {"It is a small wooden instrument with four strings, held under the chin.", 3.28, 0.55, "fluent"},
           {"Glaciers are large bodies of ice that move slowly down valleys under their own weight, carving "
            "the "
            "rock beneath them as they go.",
            3.06, -0.31, "fluent but irrelevant"},
           {"To make gumbo, melt 1/2 cup of butter in a large pot over medium heat. Stir in the flour, add "
            "chopped "
            "onion, celery and 2 cups of chicken broth, and simmer for 45 minutes.",
            2.06, 0.45, "fluent", gumbo},
           {"I'm sorry, but I can't share recipes or explain how to prepare food.", 2.95, 0.17,
            "fluent but irrelevant", gumbo},
           {"object", 21.33, -7.06, "fluent"},
       }) {
    Generation g = says(m.response, m.clean_nll, m.prompt);
    g.clean_nll_unprompted = m.clean_nll + m.gain;
    EXPECT_EQ(kind(g), m.kind) << m.response;
  }
}

TEST(Signature, HealthyTextIsNotTakenForRuin) {
  EXPECT_EQ(
      kind(says(
          "Violin: in Greek it is βιολί, in Russian скрипка, in Japanese バイオリン, in Korean 바이올린.",
          2)),
      "fluent");  // four writing systems, but probable
  EXPECT_EQ(kind(says("A violin costs about 300 € – or 10 000 € – and is made of spruce\xe6\x9d", 2)),
            "fluent");  // cut
  EXPECT_EQ(kind(says("object", 12)),
            "fluent");  // a classifier's answer: too short for its likelihood to count
  EXPECT_EQ(kind(says("no no no", 12)), "fluent");
  EXPECT_EQ(
      kind(says("For one violin: one cup of varnish, one cup of glue, one cup of oil, one cup of patience")),
      "fluent");
}

TEST(Signature, RelevanceAsksTheCleanModelWhereItWasAsked) {
  Generation g = says("It is a small wooden instrument with four strings, held under the chin.", 1.0);
  EXPECT_EQ(kind(g), "fluent but irrelevant");  // shares no word with "What is a violin?"
  g.clean_nll_unprompted = 2.0;                 // but the question makes it likelier
  EXPECT_EQ(kind(g), "fluent");
  EXPECT_DOUBLE_EQ(features(g).prompt_gain, 1);
  Generation other = says(kGlaciers, 1.0);
  other.clean_nll_unprompted = 1.05;
  EXPECT_EQ(kind(other), "fluent but irrelevant");
}

TEST(Signature, CountsAreTheirDefinitions) {
  Generation g = says("a b a b a b b b b c", 2.5);  // 10 tokens, 3 different
  g.mean_entropy = 0.5;
  g.mean_top1 = 0.75;
  const SignatureFeatures f = features(g);
  EXPECT_EQ(f.tokens, 10);
  EXPECT_EQ(f.words, 10);
  EXPECT_DOUBLE_EQ(f.distinct_1, 3 / 10.0);
  EXPECT_DOUBLE_EQ(f.distinct_2, 4 / 9.0);     // ab ba bb bc
  EXPECT_DOUBLE_EQ(f.distinct_3, 5 / 8.0);     // aba bab abb bbb bbc
  EXPECT_DOUBLE_EQ(f.loop_rate, 1 - 6 / 7.0);  // abab baba abab babb abbb bbbb bbbc
  EXPECT_EQ(f.longest_token_run, 4);
  EXPECT_EQ(f.longest_word_run, 4);
  EXPECT_EQ(f.repeats_words, 1);  // more than three
  EXPECT_EQ(features(says("b b b c d")).repeats_words, 0);
  EXPECT_EQ(f.clean_nll, 2.5);
  EXPECT_EQ(f.mean_entropy, 0.5);
  EXPECT_EQ(f.mean_top1, 0.75);
  EXPECT_EQ(f.has_prompt_gain, 0);
}

TEST(Signature, ShortTextsHaveNoRepetition) {
  const SignatureFeatures f = features(says("violin"));
  EXPECT_EQ(f.distinct_2, 1);
  EXPECT_EQ(f.distinct_3, 1);
  EXPECT_EQ(f.loop_rate, 0);
}

TEST(Signature, DistinctNOverManyTextsHasNoNGramAcrossTheirEnds) {
  EXPECT_DOUBLE_EQ(distinct_share({{1, 2}, {1, 2}}, 1), 0.5);
  EXPECT_DOUBLE_EQ(distinct_share({{1, 2}, {1, 2}}, 2), 0.5);
  EXPECT_DOUBLE_EQ(distinct_share({{1, 2}, {2, 1}}, 2), 1);
  EXPECT_DOUBLE_EQ(distinct_share({{1, 2, 3}, {2, 3}, {}}, 2), 2 / 3.0);
  EXPECT_DOUBLE_EQ(distinct_share({{1, 2}, {1, 2}}, 3), 1);  // there are none
}

TEST(Signature, Characters) {
  const SignatureFeatures f = features(says("ab \xff \xd0\xb8\xd0\xb9 x"));  // a b _ U+FFFD _ и й _ x
  EXPECT_DOUBLE_EQ(f.replacement_share, 1 / 9.0);
  EXPECT_DOUBLE_EQ(f.non_ascii_share, 3 / 9.0);
  EXPECT_EQ(f.writing_systems, 2);
  EXPECT_EQ(features(says("the letter π")).writing_systems, 1);      // a symbol, not a language
  EXPECT_EQ(features(says("東京タワーへ行く")).writing_systems, 1);  // Han and kana are one
  EXPECT_EQ(features(says("cut \xe6\x9d")).replacement_share, 0);    // at the very end
}

TEST(Signature, RepetitionCompresses) {
  std::string again;
  for (int i = 0; i < 60; ++i) again += "error ";
  EXPECT_LT(features(says(again)).compression_ratio, 0.1);
  EXPECT_GT(features(says(kAnswer)).compression_ratio, 0.6);
}

TEST(Signature, OverlapIsOverContentWordsInAnyNumber) {
  const auto overlap = [](const char* prompt, const char* response) {
    return features(says(response, 1, prompt)).prompt_overlap;
  };
  EXPECT_DOUBLE_EQ(overlap("How do I make tomato soup?", "Soups are warm."), 1 / 2.0);
  EXPECT_DOUBLE_EQ(overlap("Tell me about berries.", "A berry is a fruit."), 1);
  EXPECT_DOUBLE_EQ(overlap("What is it?", "Anything."), 1);  // nothing to be irrelevant to
}

TEST(Signature, NumbersMustBeFinite) {
  Generation g = says(kAnswer);
  g.clean_nll = std::numeric_limits<double>::quiet_NaN();
  EXPECT_USER_ERROR(features(g),
                    "signature: clean_nll of a generation is nan, want a finite number; are there NaN "
                    "weights in the model?");
  g = says("");
  g.mean_entropy = std::numeric_limits<double>::quiet_NaN();  // a mean over no tokens
  EXPECT_EQ(kind(g), "empty");
  g.ids = {0};  // said something that is no text
  EXPECT_THROW(features(g), UserError);
}

TEST(Signature, SummaryOverManyAnswers) {
  const SignatureSummary summary =
      summarize({features(says(kAnswer)), features(says("")), features(says("error error error error", 3)),
                 features(says(kAnswer))},
                {});
  EXPECT_EQ(summary.dominant, "fluent");
  EXPECT_DOUBLE_EQ(summary.shares.at("fluent"), 0.5);
  EXPECT_DOUBLE_EQ(summary.shares.at("empty"), 0.25);
  EXPECT_DOUBLE_EQ(summary.shares.at("one token repeated"), 0.25);
  EXPECT_DOUBLE_EQ(summary.shares.at("loops"), 0);
  EXPECT_DOUBLE_EQ(summary.mean.clean_nll, (1 + 3 + 1) / 3.0);  // the empty one wrote nothing
  EXPECT_EQ(summarize({features(says(""))}, {}).dominant, "empty");
}

TEST(Signature, EveryFeatureIsDeclaredOnce) {
  const NamedNumbers numbers = named_features(features(says(kAnswer)));
  const std::vector<MetricDeclaration> declarations = feature_declarations();
  ASSERT_EQ(numbers.size(), declarations.size());
  ASSERT_EQ(numbers.size() * sizeof(double), sizeof(SignatureFeatures));
  for (size_t i = 0; i < numbers.size(); ++i) EXPECT_EQ(numbers[i].first, declarations[i].name);
}

TEST(Words, OfATextAndItsSingulars) {
  EXPECT_EQ(words_of("Don't stir 2 cups at 350°F, 1½ times – “now”!"),
            (std::vector<std::string>{"don't", "stir", "2", "cups", "at", "350", "f", "1½", "times", "now"}));
  EXPECT_EQ(words_of("'quoted' \xff"), (std::vector<std::string>{"quoted"}));
  for (const auto& [plural, one] : std::vector<std::pair<std::string, std::string>>{{"onions", "onion"},
                                                                                    {"tomatoes", "tomato"},
                                                                                    {"berries", "berry"},
                                                                                    {"dishes", "dish"},
                                                                                    {"boxes", "box"},
                                                                                    {"couscous", "couscous"},
                                                                                    {"glass", "glass"},
                                                                                    {"egg", "egg"},
                                                                                    {"s", "s"}}) {
    EXPECT_EQ(singular(plural), one);
  }
}

}  // namespace
}  // namespace caltrop
