// Options that stand for one token: the last one of a text, or its id. Tested by tests/train/token_option_test.cc.
#pragma once

#include <string>

#include "caltrop/model/model.h"
#include "caltrop/text/tokenizer.h"

namespace caltrop {

/// Throws UserError, "<who>: option '<option>' …", if the text has no tokens, or one that is none of the model's.
int64_t last_token(const std::string& text, const std::string& who, const std::string& option,
                   const Model& model, const Tokenizer& tokenizer);

/// `id`. Throws UserError, "<who>: option '<option>' …", if it is none of the model's tokens.
int64_t token_of_id(int64_t id, const std::string& who, const std::string& option, const Model& model);

}  // namespace caltrop
