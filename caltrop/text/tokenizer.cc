#include "caltrop/text/tokenizer.h"

#include <algorithm>
#include <mutex>

#include "caltrop/base/error.h"
#include "caltrop/text/added_tokens.h"
#include "caltrop/text/bpe.h"
#include "caltrop/text/decoder.h"
#include "caltrop/text/normalizer.h"
#include "caltrop/text/post_processor.h"
#include "caltrop/text/pre_tokenizer.h"
#include "caltrop/text/utf8.h"

namespace caltrop {
namespace {

// Caches of words, lent to one encode() at a time each, so that threads share a tokenizer without waiting.
class CachePool {
 public:
  class Loan {
   public:
    explicit Loan(CachePool& pool) : pool_(pool), cache_(pool.take()) {}
    ~Loan() { pool_.give_back(std::move(cache_)); }
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;
    WordCache& operator*() { return *cache_; }

   private:
    CachePool& pool_;
    std::unique_ptr<WordCache> cache_;
  };

 private:
  std::unique_ptr<WordCache> take() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return std::make_unique<WordCache>();
    auto cache = std::move(idle_.back());
    idle_.pop_back();
    return cache;
  }
  void give_back(std::unique_ptr<WordCache> cache) {
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(cache));
  }

  std::mutex mutex_;
  std::vector<std::unique_ptr<WordCache>> idle_;
};

// The component `key` of the file, or what stands for none.
template <typename T>
T read_component(const Json& file, const std::string& key, const std::string& what,
                 const std::string& source) {
  const auto json = file.find(key);
  if (json == file.end() || json->is_null()) return T();
  return T(Component(*json, source, what, key));
}

}  // namespace

struct Tokenizer::Parts {
  Parts(const Json& file, const std::string& source_);
  void add_tokens_of_file(const std::vector<AddedToken>& added);
  const std::string* token_of(int64_t id) const;

  std::string source;
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  PostProcessor post_processor;
  Decoder decoder;
  Bpe bpe;
  AddedTokenMatcher raw_tokens, normalized_tokens;  // looked for before and after the normalizer
  IdByString ids_of_added;
  struct Token {
    std::string spelling;  // as in the file; empty for an id that no token has
    std::string bytes;     // what it adds to a decoded text
    bool special = false;
  };
  std::vector<Token> tokens;  // by id
  mutable CachePool caches;
};

Tokenizer::Parts::Parts(const Json& file, const std::string& source_)
    : source(source_),
      normalizer(read_component<Normalizer>(file, "normalizer", "normalizer", source)),
      pre_tokenizer(read_component<PreTokenizer>(file, "pre_tokenizer", "pre-tokenizer", source)),
      post_processor(read_component<PostProcessor>(file, "post_processor", "post-processor", source)),
      decoder(read_component<Decoder>(file, "decoder", "decoder", source)),
      bpe(Component(file["model"], source, "model", "model"), pre_tokenizer.byte_level()) {
  for (const auto& [token, id] : bpe.ids()) {
    if (tokens.size() <= static_cast<size_t>(id)) tokens.resize(static_cast<size_t>(id) + 1);
    tokens[static_cast<size_t>(id)] = {token, decoder.bytes_of(token)};
  }
  const auto list = file.find("added_tokens");
  add_tokens_of_file(list == file.end() ? std::vector<AddedToken>()
                                        : read_added_tokens(*list, source, normalizer));
  for (const auto* ids : {&post_processor.before, &post_processor.after}) {
    for (const int64_t id : *ids) {
      if (token_of(id) == nullptr) {
        throw UserError("{}: post_processor: the template has the id {}, which no token has", source, id);
      }
    }
  }
}

void Tokenizer::Parts::add_tokens_of_file(const std::vector<AddedToken>& added) {
  std::vector<AddedToken> raw, normalized;
  for (size_t i = 0; i < added.size(); ++i) {
    const AddedToken& token = added[i];
    const std::string where = fmt::format("{}: added_tokens[{}]", source, i);
    const auto in_vocabulary = bpe.ids().find(token.content);
    if (in_vocabulary != bpe.ids().end() && in_vocabulary->second != token.id) {
      throw UserError("{}: '{}' has the id {}, but {} in the vocabulary", where, token.content, token.id,
                      in_vocabulary->second);
    }
    if (token.id < 0 || token.id > kLargestId) {
      throw UserError("{}: '{}' has the id {}, want 0 to {}", where, token.content, token.id, kLargestId);
    }
    if (const std::string* other = token_of(token.id); other != nullptr && *other != token.content) {
      throw UserError("{}: '{}' has the id {}, which '{}' has already", where, token.content, token.id,
                      *other);
    }
    if (!ids_of_added.emplace(token.content, static_cast<int32_t>(token.id)).second) {
      throw UserError("{}: '{}' stands twice in the list", where, token.content);
    }
    const auto id = static_cast<size_t>(token.id);
    if (tokens.size() <= id) tokens.resize(id + 1);
    // The reference decodes a normalized token to its normal form.
    tokens[id] = {token.content, decoder.bytes_of(token.pattern), token.special};
    (token.normalized ? normalized : raw).push_back(token);
  }
  raw_tokens = AddedTokenMatcher(std::move(raw));
  normalized_tokens = AddedTokenMatcher(std::move(normalized));
}

const std::string* Tokenizer::Parts::token_of(int64_t id) const {
  if (id < 0 || id >= static_cast<int64_t>(tokens.size())) return nullptr;
  const std::string& spelling = tokens[static_cast<size_t>(id)].spelling;
  return spelling.empty() ? nullptr : &spelling;
}

Tokenizer::Tokenizer(std::shared_ptr<const Parts> parts) : parts_(std::move(parts)) {}

Tokenizer Tokenizer::load(const std::filesystem::path& folder) {
  const auto path = folder / "tokenizer.json";
  return from_json(read_json(path), path.string());
}

Tokenizer Tokenizer::from_json(const Json& json, const std::string& source) {
  const std::vector<std::string> known = {"version",        "truncation", "padding",
                                          "added_tokens",   "normalizer", "pre_tokenizer",
                                          "post_processor", "decoder",    "model"};
  if (!json.is_object() || !json.contains("model")) {
    throw UserError("{}: not a tokenizer.json: it has no 'model'", source);
  }
  for (const auto& [key, value] : json.items()) {
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      throw UserError("{}: Caltrop knows no part '{}' of a tokenizer; it knows: {}", source, key,
                      join(known));
    }
  }
  // "truncation" and "padding" are about batches, which are not made here.
  const auto version = optional<std::string>(json, "version", source, "1.0");
  if (version != "1.0") throw UserError("{}: the version is '{}', want '1.0'", source, version);
  return Tokenizer(std::make_shared<const Parts>(json, source));
}

Encoding Tokenizer::encode(std::string_view text, bool add_special_tokens) const {
  if (const size_t at = find_invalid_utf8(text); at != std::string_view::npos) {
    throw UserError("{}: the text is not valid UTF-8: byte 0x{:02x} at offset {}", parts_->source,
                    static_cast<unsigned char>(text[at]), at);
  }
  Encoding out;
  const auto add = [&out](int64_t id, Span span) {
    out.ids.push_back(id);
    out.spans.push_back(span);
  };
  CachePool::Loan cache(parts_->caches);
  std::vector<Span> words;
  std::vector<Symbol> symbols;

  if (add_special_tokens) {
    for (const int64_t id : parts_->post_processor.before) add(id, {0, 0});
  }
  for (const auto& raw : parts_->raw_tokens.cut(text)) {
    if (raw.id) {
      add(*raw.id, raw.span);
      continue;
    }
    const AlignedText normalised =
        parts_->normalizer.apply(AlignedText(text.substr(raw.span.begin, raw.span.size()), raw.span.begin));
    for (const auto& piece : parts_->normalized_tokens.cut(normalised.view())) {
      if (piece.id) {
        add(*piece.id, normalised.origin(piece.span));
        continue;
      }
      AlignedText part = normalised.part(piece.span);
      parts_->pre_tokenizer.split(part, words);
      for (const Span word : words) {
        symbols.clear();
        parts_->bpe.encode(part.view().substr(word.begin, word.size()), *cache, symbols);
        for (const Symbol& symbol : symbols) {
          add(symbol.id, part.origin({word.begin + symbol.begin, word.begin + symbol.end}));
        }
      }
    }
  }
  if (add_special_tokens) {
    for (const int64_t id : parts_->post_processor.after) add(id, {text.size(), text.size()});
  }
  return out;
}

std::string Tokenizer::decode(std::span<const int64_t> ids, bool skip_special_tokens) const {
  StreamDecoder decoder(*this, skip_special_tokens);
  std::string text;
  for (const int64_t id : ids) text += decoder.push(id);
  return text + decoder.finish();
}

int64_t Tokenizer::vocabulary_size() const { return static_cast<int64_t>(parts_->tokens.size()); }

std::optional<int64_t> Tokenizer::token_to_id(std::string_view token) const {
  for (const IdByString* ids : {&parts_->ids_of_added, &parts_->bpe.ids()}) {
    if (const auto found = ids->find(token); found != ids->end()) return found->second;
  }
  return std::nullopt;
}

std::string Tokenizer::id_to_token(int64_t id) const {
  const std::string* const token = parts_->token_of(id);
  if (token == nullptr) {
    throw UserError("{}: no token has the id {}; ids are 0 to {}", parts_->source, id, vocabulary_size() - 1);
  }
  return *token;
}

bool Tokenizer::has_token(int64_t id) const { return parts_->token_of(id) != nullptr; }

void Tokenizer::check_ids(std::span<const int64_t> ids, int64_t vocabulary, const std::string& who) const {
  for (const int64_t id : ids) {
    if (id < 0 || id >= vocabulary) {
      throw UserError(
          "{}: the token '{}' of {} has the id {}, but the model has embeddings for 0 to {}; is the "
          "tokenizer of another "
          "model?",
          who, id_to_token(id), parts_->source, id, vocabulary - 1);
    }
  }
}

bool Tokenizer::is_special(int64_t id) const {
  return parts_->token_of(id) != nullptr && parts_->tokens[static_cast<size_t>(id)].special;
}

StreamDecoder::StreamDecoder(Tokenizer tokenizer, bool skip_special_tokens)
    : tokenizer_(std::move(tokenizer)), skip_special_tokens_(skip_special_tokens) {}

std::string StreamDecoder::push(int64_t id) {
  const auto& parts = *tokenizer_.parts_;
  if (parts.token_of(id) == nullptr || (skip_special_tokens_ && tokenizer_.is_special(id))) return "";
  if (!first_) held_ += parts.decoder.separator();
  first_ = false;
  held_ += parts.tokens[static_cast<size_t>(id)].bytes;
  const size_t ready = held_.size() - incomplete_utf8_suffix(held_);
  std::string text = replace_invalid_utf8(std::string_view(held_).substr(0, ready));
  held_.erase(0, ready);
  return text;
}

std::string StreamDecoder::finish() {
  std::string text = replace_invalid_utf8(held_);
  held_.clear();
  first_ = true;
  return text;
}

}  // namespace caltrop
