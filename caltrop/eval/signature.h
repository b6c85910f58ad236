// Which kind of ruin a text is: the collapse signature of one answer.
//
// Traps ruin models in ways of their own: CTRAP's repeat one token, SEAM's write word salad, SDD's answer
// fluently beside the point, a broken TokenBuncher mixes languages. Each is visible in counts over the text
// and its tokens, without another model but one: the *clean* model, the one before any defence or attack,
// says how improbable it finds the text. That one number separates salad from sentences better than all
// counts together, and where it is missing (NaN) only salad of bare function words is seen.
//
// Kinds are looked for in this order, and the first that fits is the answer:
//   empty                  no letters or digits
//   one token repeated     a run of one token, or of one word, longer than `run` and covering `run_share` of
//   the text loops                  the same four tokens again and again, or few distinct pairs of tokens
//   mixed-language noise   three writing systems in one short answer, or broken UTF-8
//   word salad             improbable to the clean model, or nearly nothing but function words
//   fluent but irrelevant  no content word in common with the prompt
//   fluent                 none of these
//
// Limits. A short true answer that names nothing ("It is a large bird.") and every refusal count as
// irrelevant: ask for refusals first, and read the share over many answers, not one label. Function words and
// stems are English; other languages keep the counts and lose the relatedness. Tested by
// tests/eval/signature_test.cc.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "caltrop/base/fields.h"

namespace caltrop {

inline constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

/// One answer as it was generated.
struct Generation {
  std::string prompt, response;
  std::vector<int64_t> ids;        // of the response
  double mean_entropy = kUnknown;  // of the next-token distribution, nats, mean over the response's tokens
  double mean_top1 = kUnknown;     // probability of the likeliest token, likewise
  double clean_nll = kUnknown;     // of the response given the prompt under the clean model, nats a token
};

/// Shares are in [0, 1]. Counts over nothing (a text of two tokens has no 4-grams) are those of a text
/// without repetition.
struct SignatureFeatures {
  int64_t tokens = 0, words = 0;
  double distinct1 = 1, distinct2 = 1, distinct3 = 1;  // distinct n-grams of tokens over all of them
  double unique_ratio = 1;                             // distinct words over words
  double longest_token_run = 0, longest_word_run = 0;  // equal ones in a row
  double loop_rate = 0;                                // share of 4-grams of tokens that stood there before
  double compression_ratio = 1;       // bytes over bytes after zlib (about 1.3 for a short paragraph)
  double non_ascii = 0;               // share of the characters
  double replacement_characters = 0;  // U+FFFD or invalid bytes, share of the characters
  double scripts = 0;                 // writing systems with at least two letters (Han and kana are one)
  double function_words = 0;          // share of the words
  double relatedness = 0;             // share of the prompt's content words whose stem occurs in the response
  double mean_entropy = kUnknown, mean_top1 = kUnknown, clean_nll = kUnknown;
};

SignatureFeatures signature_features(const Generation& generation);

/// The mean of each feature; of entropy, top-1 and clean NLL over those that are known (unknown if none is).
/// REQUIRES at least one.
SignatureFeatures mean_features(const std::vector<SignatureFeatures>& features);

struct SignatureThresholds {
  double run = 3;  // Booster's HS+: more than three equal words in a row
  double run_share = 0.4;
  double loop_rate = 0.4;
  double distinct2 = 0.5;
  double scripts = 3;
  double replacement_characters = 0.05;
  double clean_nll = 4;
  double function_words = 0.8;
  double relatedness = 0;

  static auto fields() {
    using O = SignatureThresholds;
    return std::tuple{
        field("run", &O::run, 1, 1e6, "equal tokens or words in a row that are still fine"),
        field("run_share", &O::run_share, 0, 1, "share of the text that a longer run covers to be all of it"),
        field("loop_rate", &O::loop_rate, 0, 1, "share of repeated 4-grams above which a text loops"),
        field("distinct2", &O::distinct2, 0, 1, "share of distinct token pairs below which a text loops"),
        field("scripts", &O::scripts, 2, 100, "writing systems from which on a text is noise"),
        field("replacement_characters", &O::replacement_characters, 0, 1,
              "share of broken characters above which a text is noise"),
        field("clean_nll", &O::clean_nll, 0, 1e3,
              "nats a token under the clean model above which a text is word salad"),
        field("function_words", &O::function_words, 0, 1,
              "share of function words above which a text is word salad"),
        field("relatedness", &O::relatedness, 0, 1,
              "share of the prompt's content words up to which an answer is irrelevant"),
    };
  }
};

/// "empty", "one token repeated", "loops", "mixed-language noise", "word salad", "fluent but irrelevant" or
/// "fluent".
std::string classify_signature(const SignatureFeatures& features, const SignatureThresholds& thresholds);

/// Sentences, whatever they say: "fluent" or "fluent but irrelevant".
bool coherent(const SignatureFeatures& features, const SignatureThresholds& thresholds);

}  // namespace caltrop
