#include "caltrop/eval/signature.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include <zlib.h>

#include "caltrop/base/error.h"
#include "caltrop/eval/words.h"

namespace caltrop {
namespace {

/// One row of SignatureFeatures: from these come means, names and meanings.
struct FeatureRow {
  const char* name;
  double SignatureFeatures::* member;
  const char* unit;
  const char* better;
  const char* meaning;
};

using F = SignatureFeatures;
constexpr FeatureRow kFeatures[] = {
    {"tokens", &F::tokens, "tokens", "", "length of the answers"},
    {"words", &F::words, "words", "", "length of the answers"},
    {"distinct_1", &F::distinct_1, "share", "higher", "different tokens of all tokens of an answer"},
    {"distinct_2", &F::distinct_2, "share", "higher", "different pairs of tokens of all pairs"},
    {"distinct_3", &F::distinct_3, "share", "higher", "different triples of tokens of all triples"},
    {"loop_rate", &F::loop_rate, "share", "lower", "4-grams of tokens that occurred before in the answer"},
    {"longest_token_run", &F::longest_token_run, "tokens", "lower", "equal tokens in a row"},
    {"longest_word_run", &F::longest_word_run, "words", "lower", "equal words in a row"},
    {"repeats_words", &F::repeats_words, "share", "lower",
     "answers with a word more than 3 times in a row (HS+)"},
    {"compression_ratio", &F::compression_ratio, "share", "", "bytes of an answer after DEFLATE / before"},
    {"non_ascii_share", &F::non_ascii_share, "share", "", "characters outside ASCII"},
    {"replacement_share", &F::replacement_share, "share", "lower", "broken characters (U+FFFD)"},
    {"writing_systems", &F::writing_systems, "systems", "", "writing systems with two letters or more"},
    {"prompt_overlap", &F::prompt_overlap, "share", "",
     "content words of the prompt that occur in the answer"},
    {"prompt_gain", &F::prompt_gain, "nats/token", "",
     "what the prompt saves the clean model on the answer; 0 where not measured"},
    {"has_prompt_gain", &F::has_prompt_gain, "share", "", "answers whose prompt_gain was measured"},
    {"mean_entropy", &F::mean_entropy, "nats", "", "entropy of the model's next-token distributions"},
    {"mean_top1", &F::mean_top1, "share", "", "probability of the likeliest token"},
    {"clean_nll", &F::clean_nll, "nats/token", "lower",
     "negative log-likelihood of the model's answers under the clean model"},
};

template <typename T>
double longest_run(const std::vector<T>& items) {
  size_t longest = 0, run = 0;
  for (size_t i = 0; i < items.size(); ++i) {
    run = i > 0 && items[i] == items[i - 1] ? run + 1 : 1;
    longest = std::max(longest, run);
  }
  return static_cast<double>(longest);
}

double compression_ratio(const std::string& text) {
  z_stream stream{};
  constexpr int kNoHeader = -15, kDefaultMemory = 8;  // the header's 6 bytes would weigh on short answers
  int status =
      deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, kNoHeader, kDefaultMemory, Z_DEFAULT_STRATEGY);
  CALTROP_ASSERT(status == Z_OK, "zlib: {}", status);
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  status = deflate(&stream, Z_FINISH);
  CALTROP_ASSERT(status == Z_STREAM_END, "zlib: {}", status);
  const auto bytes = static_cast<double>(stream.total_out);
  deflateEnd(&stream);
  return bytes / static_cast<double>(text.size());
}

struct ScriptRange {
  char32_t first, last;
  int system;  // Japanese writes Han and Kana together: they are one
};

// Unicode blocks of the writing systems that tokenizers hold. Blocks that mix letters and signs are cut to
// the letters; what stands in none (digits, punctuation, emoji) is no letter.
constexpr ScriptRange kScripts[] = {
    {'A', 'Z', 0},        {'a', 'z', 0},        {0xC0, 0x24F, 0},     {0x1E00, 0x1EFF, 0},
    {0x370, 0x3FF, 1},    {0x1F00, 0x1FFF, 1},  {0x400, 0x52F, 2},    {0x531, 0x587, 3},
    {0x5D0, 0x5F2, 4},    {0x620, 0x6FF, 5},    {0x750, 0x77F, 5},    {0x700, 0x74F, 6},
    {0x780, 0x7BF, 7},    {0x900, 0x97F, 8},    {0x980, 0x9FF, 9},    {0xA00, 0xA7F, 10},
    {0xA80, 0xAFF, 11},   {0xB00, 0xB7F, 12},   {0xB80, 0xBFF, 13},   {0xC00, 0xC7F, 14},
    {0xC80, 0xCFF, 15},   {0xD00, 0xD7F, 16},   {0xD80, 0xDFF, 17},   {0xE00, 0xE7F, 18},
    {0xE80, 0xEFF, 19},   {0xF00, 0xFFF, 20},   {0x1000, 0x109F, 21}, {0x10A0, 0x10FF, 22},
    {0x1200, 0x137F, 23}, {0x13A0, 0x13FF, 24}, {0x1780, 0x17FF, 25}, {0x1800, 0x18AF, 26},
    {0x1100, 0x11FF, 27}, {0x3130, 0x318F, 27}, {0xAC00, 0xD7A3, 27}, {0x3040, 0x30FF, 28},
    {0x3400, 0x4DBF, 28}, {0x4E00, 0x9FFF, 28}, {0xF900, 0xFAFF, 28}, {0x20000, 0x3134F, 28}};
constexpr int kSystems = 29;
constexpr int kLettersOfASystem = 2;  // one alone is a symbol: "π", "α"

double writing_systems(const std::u32string& text) {
  std::array<int, kSystems> letters{};
  for (const char32_t c : text) {
    for (const ScriptRange& range : kScripts) {
      if (c >= range.first && c <= range.last) ++letters[static_cast<size_t>(range.system)];
    }
  }
  return static_cast<double>(
      std::count_if(letters.begin(), letters.end(), [](int n) { return n >= kLettersOfASystem; }));
}

std::set<std::string> content_words(const std::string& text) {
  std::set<std::string> found;
  for (const std::string& word : words_of(text)) {
    const std::string stem = singular(word);
    if (!is_function_word(word) && !is_function_word(stem)) found.insert(stem);
  }
  return found;
}

double overlap(const std::string& prompt, const std::string& response) {
  const std::set<std::string> asked = content_words(prompt), said = content_words(response);
  if (asked.empty()) return 1;  // nothing to be irrelevant to
  const auto shared =
      std::count_if(asked.begin(), asked.end(), [&](const auto& w) { return said.contains(w); });
  return static_cast<double>(shared) / static_cast<double>(asked.size());
}

void check_finite(const char* name, double value) {
  if (!std::isfinite(value)) {
    throw UserError(
        "signature: {} of a generation is {}, want a finite number; are there NaN weights in the model?",
        name, value);
  }
}

}  // namespace

double distinct_share(const std::vector<std::vector<int64_t>>& texts, size_t n) {
  std::set<std::vector<int64_t>> seen;
  size_t all = 0;
  for (const std::vector<int64_t>& ids : texts) {
    for (size_t i = 0; i + n <= ids.size(); ++i, ++all) seen.emplace(ids.begin() + i, ids.begin() + i + n);
  }
  return all == 0 ? 1 : static_cast<double>(seen.size()) / static_cast<double>(all);
}

SignatureFeatures features(const Generation& generation) {
  SignatureFeatures f;
  if (generation.ids.empty()) return f;
  check_finite("mean_entropy", generation.mean_entropy);
  check_finite("mean_top1", generation.mean_top1);
  // A model that computes NaN says token 0, which may be no text: that is no empty answer.
  if (generation.response.find_first_not_of(" \t\r\n\v\f") == std::string::npos) return f;
  f.tokens = static_cast<double>(generation.ids.size());
  const auto distinct = [&](size_t n) { return distinct_share({generation.ids}, n); };
  f.distinct_1 = distinct(1);
  f.distinct_2 = distinct(2);
  f.distinct_3 = distinct(3);
  f.loop_rate = 1 - distinct(4);
  f.longest_token_run = longest_run(generation.ids);

  const std::vector<std::string> words = words_of(generation.response);
  f.words = static_cast<double>(words.size());
  f.longest_word_run = longest_run(words);
  f.repeats_words = f.longest_word_run > 3 ? 1 : 0;
  f.compression_ratio = compression_ratio(generation.response);

  std::u32string characters = characters_of(generation.response);
  while (!characters.empty() && characters.back() == 0xFFFD) characters.pop_back();
  if (!characters.empty()) {
    const auto n = static_cast<double>(characters.size());
    const auto share = [&](auto is) {
      return static_cast<double>(std::count_if(characters.begin(), characters.end(), is)) / n;
    };
    f.non_ascii_share = share([](char32_t c) { return c >= 0x80; });
    f.replacement_share = share([](char32_t c) { return c == 0xFFFD; });
  } else {
    f.non_ascii_share = f.replacement_share = 1;
  }
  f.writing_systems = writing_systems(characters);

  f.prompt_overlap = overlap(generation.prompt, generation.response);
  check_finite("clean_nll", generation.clean_nll);
  f.mean_entropy = generation.mean_entropy;
  f.mean_top1 = generation.mean_top1;
  f.clean_nll = generation.clean_nll;
  if (generation.clean_nll_unprompted) {
    check_finite("clean_nll_unprompted", *generation.clean_nll_unprompted);
    f.prompt_gain = *generation.clean_nll_unprompted - generation.clean_nll;
    f.has_prompt_gain = 1;
  }
  return f;
}

std::string_view classify(const SignatureFeatures& f, const SignatureThresholds& thresholds) {
  if (f.tokens == 0) return "empty";
  constexpr double kLeastRun = 3;  // two equal words are no repetition yet, even of three
  const auto runs = [&](double run, double length) {
    return run > kLeastRun && run >= thresholds.repeated_run * length;
  };
  if (runs(f.longest_token_run, f.tokens) || runs(f.longest_word_run, f.words)) return "one token repeated";
  if (f.loop_rate >= thresholds.loops) return "loops";
  if (f.replacement_share > thresholds.broken_characters) return "mixed-language noise";
  if (f.tokens < static_cast<double>(thresholds.least_tokens)) return "fluent";
  if (f.clean_nll > thresholds.improbable_nll) {
    return f.writing_systems >= static_cast<double>(thresholds.writing_systems) ? "mixed-language noise"
                                                                                : "word salad";
  }
  const bool prompt_is_useless = f.has_prompt_gain == 0 || f.prompt_gain <= thresholds.irrelevant_gain;
  if (f.prompt_overlap <= thresholds.irrelevant_overlap && prompt_is_useless) return "fluent but irrelevant";
  return "fluent";
}

bool is_coherent(std::string_view signature) {
  return signature == "fluent" || signature == "fluent but irrelevant";
}

SignatureSummary summarize(const std::vector<SignatureFeatures>& answers,
                           const SignatureThresholds& thresholds) {
  CALTROP_ASSERT(!answers.empty(), "a signature of no answers");
  SignatureSummary summary;
  for (const std::string_view name : kSignatures) summary.shares.emplace(name, 0);
  double written = 0;
  std::array<double, std::size(kFeatures)> sums{};
  for (const SignatureFeatures& answer : answers) {
    summary.shares.find(classify(answer, thresholds))->second += 1 / static_cast<double>(answers.size());
    if (answer.tokens == 0) continue;
    written += 1;
    for (size_t i = 0; i < std::size(kFeatures); ++i) sums[i] += answer.*kFeatures[i].member;
  }
  for (size_t i = 0; i < std::size(kFeatures) && written > 0; ++i) {
    summary.mean.*kFeatures[i].member = sums[i] / written;
  }
  double largest = 0;
  for (const std::string_view name : kSignatures) {
    if (summary.shares.find(name)->second > largest) {
      largest = summary.shares.find(name)->second;
      summary.dominant = name;
    }
  }
  return summary;
}

NamedNumbers named_features(const SignatureFeatures& f) {
  NamedNumbers numbers;
  for (const FeatureRow& row : kFeatures) numbers.emplace_back(row.name, f.*row.member);
  return numbers;
}

std::vector<MetricDeclaration> feature_declarations() {
  std::vector<MetricDeclaration> declarations;
  for (const FeatureRow& row : kFeatures) {
    declarations.push_back({row.name, row.unit, row.better, row.meaning});
  }
  return declarations;
}

}  // namespace caltrop
