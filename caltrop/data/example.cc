#include "caltrop/data/example.h"

namespace caltrop {

std::string Example::prompt() const {
  for (auto message = messages.rbegin(); message != messages.rend(); ++message) {
    if (message->role == "user") return message->content;
  }
  return "";
}

std::string Example::response() const { return has_response() ? messages.back().content : ""; }

}  // namespace caltrop
