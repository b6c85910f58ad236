// Rows of tokens -> one packed batch. Rows that begin alike share those tokens (tensor/packed.h).
// Tested by tests/data/batch_test.cc.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "caltrop/tensor/packed.h"

namespace caltrop {

/// One example as tokens. answer[i] says that token i is one that the assistant says: it is predicted and has
/// a loss.
struct TokenRow {
  std::vector<int64_t> ids;
  std::vector<bool> answer;
  std::string prompt =
      {};  // what was asked, in words; only where somebody needs it (ChatEncoder::encode_prompt)
};

struct Batch {
  PackedTokens tokens;
  Tensor label_positions;  // [M] int64, index into the packed tokens of the position that predicts the label
  Tensor labels;           // [M] int64, in the order of rows, then time
  Tensor label_rows;       // [M] int64
  int64_t rows = 0;
  int64_t row_tokens = 0;  // tokens of all rows before sharing
  int64_t label_count() const { return labels.size(0); }
};

/// Whether rows that begin alike are computed as one there. What is added to or read from hidden states row by row wants them
/// separate.
enum class Beginnings { kShared, kSeparate };

/// REQUIRES at least one row, none of them empty. `places`, if given, receives for each row the index of each
/// of its tokens within the packed tokens.
Batch pack(std::span<const TokenRow> rows, at::Device device = at::kCPU,
           std::vector<std::vector<int64_t>>* places = nullptr, Beginnings beginnings = Beginnings::kShared);

}  // namespace caltrop
