#include "caltrop/train/token_option.h"

#include "caltrop/base/error.h"

namespace caltrop {

int64_t last_token(const std::string& text, const std::string& who, const std::string& option,
                   const Model& model, const Tokenizer& tokenizer) {
  const std::vector<int64_t> ids = tokenizer.encode(text, /*add_special_tokens=*/false).ids;
  if (ids.empty()) throw UserError("{}: option '{}' is '{}', which has no tokens", who, option, text);
  if (ids.back() >= model.config().vocabulary)
    throw UserError(
        "{}: option '{}' is '{}', whose last token is {}, and the model knows {} tokens: does its tokenizer "
        "belong to it?",
        who, option, text, ids.back(), model.config().vocabulary);
  return ids.back();
}

int64_t token_of_id(int64_t id, const std::string& who, const std::string& option, const Model& model) {
  const int64_t known = model.config().vocabulary;
  if (id < 0 || id >= known)
    throw UserError("{}: option '{}' is {}, and the model knows the tokens 0 to {}", who, option, id,
                    known - 1);
  return id;
}

}  // namespace caltrop
