#include "caltrop/rollout/generate.h"

#include <algorithm>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "caltrop/base/error.h"
#include "caltrop/model/decoder.h"

namespace caltrop {
namespace {

/// One sequence in flight.
struct Active {
  size_t prompt;
  int64_t slot;
  RandomStream random;
  std::vector<int64_t> seen;  // prompt and answer so far
};

class Generation {
 public:
  Generation(const Model& model, const std::vector<TokenRow>& prompts, const std::vector<int64_t>& end_ids,
             const GenerateOptions& options, uint64_t seed,
             const std::function<void(size_t, int64_t)>& on_token)
      : prompts_(prompts),
        end_ids_(end_ids),
        options_(options),
        seed_(seed),
        on_token_(on_token),
        results_(prompts.size()),
        slots_(std::min<int64_t>(options.batch, static_cast<int64_t>(prompts.size()))),
        decoder_(model, slots_, longest_prompt(model) + options.max_new_tokens) {
    for (int64_t slot = slots_; slot-- > 0;) free_.push_back(slot);
  }

  std::vector<Generated> run() {
    while (next_ < prompts_.size() || !active_.empty()) {
      // Filling one freed slot at a time would run many tiny prefills; a quarter of the slots is a fair
      // trade.
      const bool refill = active_.empty() || static_cast<int64_t>(free_.size()) * 4 >= slots_;
      if (next_ < prompts_.size() && refill) prefill();
      if (!active_.empty()) decode();
    }
    for (Generated& g : results_) {
      const auto count = static_cast<double>(std::max<size_t>(1, g.log_probabilities.size()));
      g.mean_entropy /= count, g.mean_top1 /= count;
    }
    return std::move(results_);
  }

 private:
  int64_t longest_prompt(const Model& model) const {
    int64_t longest = 0;
    for (size_t i = 0; i < prompts_.size(); ++i) {
      const auto length = static_cast<int64_t>(prompts_[i].ids.size());
      if (length + options_.max_new_tokens > model.config().context) {
        throw UserError(
            "generate: prompt {} has {} tokens; with {} new ones it exceeds the model's context of {}", i + 1,
            length, options_.max_new_tokens, model.config().context);
      }
      longest = std::max(longest, length);
    }
    return longest;
  }

  void prefill() {
    std::vector<TokenRow> rows;
    std::vector<int64_t> slots;
    std::vector<Active> started;
    for (; next_ < prompts_.size() && !free_.empty(); ++next_) {
      started.push_back(
          {next_, free_.back(), RandomStream(seed_, fmt::format("answer {}", next_)), prompts_[next_].ids});
      rows.push_back(prompts_[next_]);
      slots.push_back(free_.back());
      free_.pop_back();
    }
    std::vector<std::vector<int64_t>> places;
    const Batch batch = pack(rows, decoder_.device(), &places);
    take(decoder_.prefill(batch.tokens, places, slots), started);
  }

  void decode() {
    std::vector<int64_t> ids, slots;
    for (const Active& a : active_) {
      ids.push_back(a.seen.back());
      slots.push_back(a.slot);
    }
    std::vector<Active> going = std::move(active_);
    active_.clear();
    take(decoder_.step(ids, slots), going);
  }

  /// One token for each sequence from its row of logits.
  std::vector<Sampled> choose(const Tensor& logits, std::vector<Active>& sequences) const {
    if (!logits.is_cpu() && can_sample_together(options_)) {
      std::vector<RandomStream*> randoms;
      for (Active& a : sequences) randoms.push_back(&a.random);
      return sample_together(logits, options_, randoms);
    }
    const Tensor rows = logits.cpu().contiguous();
    const int64_t width = rows.size(1);
    std::vector<Sampled> sampled(sequences.size());
    at::parallel_for(0, static_cast<int64_t>(sequences.size()), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        Active& a = sequences[static_cast<size_t>(i)];
        const std::span<const float> row(rows.const_data_ptr<float>() + i * width,
                                         static_cast<size_t>(width));
        sampled[static_cast<size_t>(i)] = sample(row, a.seen, options_, a.random);
      }
    });
    return sampled;
  }

  /// Draws one token for each sequence; those that go on become active.
  void take(const Tensor& logits, std::vector<Active>& sequences) {
    const std::vector<Sampled> sampled = choose(logits, sequences);
    for (size_t i = 0; i < sequences.size(); ++i) {
      Active& a = sequences[i];
      Generated& g = results_[a.prompt];
      g.log_probabilities.push_back(sampled[i].log_probability);
      g.mean_entropy += sampled[i].entropy, g.mean_top1 += sampled[i].top1;
      g.ended = std::find(end_ids_.begin(), end_ids_.end(), sampled[i].id) != end_ids_.end();
      if (g.ended) {
        g.end_id = sampled[i].id;
      } else {
        g.ids.push_back(sampled[i].id);
        if (on_token_) on_token_(a.prompt, sampled[i].id);
      }
      if (g.ended || static_cast<int64_t>(g.ids.size()) >= options_.max_new_tokens) {
        free_.push_back(a.slot);
      } else {
        a.seen.push_back(sampled[i].id);
        active_.push_back(std::move(a));
      }
    }
  }

  const std::vector<TokenRow>& prompts_;
  const std::vector<int64_t>& end_ids_;
  const GenerateOptions& options_;
  uint64_t seed_;
  const std::function<void(size_t, int64_t)>& on_token_;
  std::vector<Generated> results_;
  int64_t slots_;
  Decoder decoder_;
  std::vector<int64_t> free_;
  std::vector<Active> active_;
  size_t next_ = 0;
};

}  // namespace

std::vector<Generated> generate(const Model& model, const std::vector<TokenRow>& prompts,
                                const std::vector<int64_t>& end_ids, const GenerateOptions& options,
                                uint64_t seed, const std::function<void(size_t, int64_t)>& on_token) {
  if (prompts.empty()) return {};
  return Generation(model, prompts, end_ids, options, seed, on_token).run();
}

}  // namespace caltrop
