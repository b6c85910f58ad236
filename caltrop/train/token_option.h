// An option that stands for one token: the last one of a text. Tested by tests/train/token_option_test.cc.
#pragma once

#include <string>

#include "caltrop/model/model.h"
#include "caltrop/text/tokenizer.h"

namespace caltrop {

/// Throws UserError, "<who>: option '<option>' …", if the text has no tokens, or one that is none of the model's.
int64_t last_token(const std::string& text, const std::string& who, const std::string& option,
                   const Model& model, const Tokenizer& tokenizer);

}  // namespace caltrop
