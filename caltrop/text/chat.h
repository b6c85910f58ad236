// Conversations as the text that a model reads, and which of its bytes the assistant says.
//
// A model folder brings a program that writes conversations down, a Jinja template (jinja.h). Training needs
// more than its text: the loss is on what the assistant says and on nothing else. What it says is
//
//   where the template has {% generation %} blocks: what they write, byte for byte;
//   otherwise: all that follows the text which the assistant is prompted with. So messages 0 to i-1 are
//   rendered with the generation prompt, 0 to i without, and the difference is turn i:
//
//       <|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n  Hello<|im_end|>  \n
//       |------------------- the prompt ---------------------|   |-- said ------|
//
//   The mark that ends the turn is said (a model that does not learn it never stops); white space after the
//   mark is not: generation has ended by then. A template without such a mark ends turns by white space
//   alone, and then that is said. A template that writes earlier turns differently once later ones follow
//   (Qwen 3 drops their reasoning), or that prompts with what its answers lack (DeepSeek R1's "<think>"), has no
//   such difference, and asking for a conversation where it matters is an error.
//
// Tested by tests/text/chat_test.cc and tools/compare_templates.py.
#pragma once

#include <filesystem>
#include <functional>
#include <iosfwd>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "caltrop/base/json.h"
#include "caltrop/text/span.h"

namespace caltrop {

struct Message {
  std::string role;  // "system", "user", "assistant"; templates may know others
  std::string content;
  bool operator==(const Message&) const = default;
};

struct RenderedChat {
  std::string text;
  std::vector<Span>
      assistant;  // bytes of text, in order; one an assistant turn unless {% generation %} says otherwise
};

/// Immutable; copies share one template. Any number of threads may use one at a time.
class ChatTemplate {
 public:
  /// bos_token, eos_token, pad_token and unk_token as tokenizer_config.json has them; those it lacks are not
  /// defined.
  using SpecialTokens = std::map<std::string, std::string>;

  /// From a model folder: chat_template.jinja if there is one, else "chat_template" of tokenizer_config.json,
  /// a text or a list of {name, template} with one named "default". Throws UserError, also for a folder
  /// without a template (saying how to give it one) and for a template with constructs that we do not know.
  static ChatTemplate load(const std::filesystem::path& folder);
  /// `name` stands for the template in errors.
  static ChatTemplate from_source(const std::string& source, const SpecialTokens& special_tokens,
                                  const std::string& name);

  /// Throws UserError for what the template refuses (raise_exception), for a template that fails, and for one
  /// that has no difference to take (see above).
  RenderedChat render(std::span<const Message> messages, bool add_generation_prompt) const;

 private:
  struct Parts;
  explicit ChatTemplate(std::shared_ptr<const Parts> parts) : parts_(std::move(parts)) {}
  std::string text_of(std::span<const Message> messages, bool add_generation_prompt) const;
  Span said_in(std::span<const Message> until_turn, const std::string& whole) const;
  std::shared_ptr<const Parts> parts_;
};

/// A chat template for models that come without one; `caltrop import --chat-format` writes it into their folder.
struct ChatFormat {
  std::string name;
  std::string about;   // one line for people
  std::string source;  // as a template
};

/// plain, alpaca, question_answer.
const std::vector<ChatFormat>& chat_formats();
/// Throws UserError listing the known names.
const ChatFormat& chat_format(const std::string& name);

/// One `messages` array a line in; out, a line each, {"text": …, "assistant": [[begin, end], …]} with offsets
/// in bytes. Blank lines are skipped. Throws UserError "line N: …".
void render_lines(const ChatTemplate& chat, std::istream& in, std::ostream& out);

/// A JSON array of {"role", "content"} as messages. Throws UserError "<where>: got …, want …".
std::vector<Message> messages_from_json(const Json& array, const std::string& where);

}  // namespace caltrop
