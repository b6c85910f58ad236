#include "caltrop/run/import.h"

#include <algorithm>

#include "caltrop/base/error.h"
#include "caltrop/base/log.h"
#include "caltrop/io/gguf_names.h"
#include "caltrop/kernels/token_nll.h"
#include "caltrop/model/model.h"
#include "caltrop/run/model_files.h"
#include "caltrop/text/chat.h"
#include "caltrop/text/gguf_vocabulary.h"
#include "caltrop/text/tokenizer.h"

namespace caltrop {
namespace {

namespace fs = std::filesystem;

GgufVocabulary vocabulary_of(const GgufVocabularyData& data) {
  GgufVocabulary vocabulary;
  vocabulary.model = data.model;
  vocabulary.pre = data.pre;
  vocabulary.tokens = data.tokens;
  vocabulary.merges = data.merges;
  vocabulary.token_types.assign(data.token_types.begin(), data.token_types.end());
  vocabulary.bos = data.bos_id, vocabulary.eos = data.eos_id;
  vocabulary.unknown = data.unknown_id, vocabulary.padding = data.padding_id;
  // llama.cpp, llama-vocab.cpp: where the file does not say, this family's texts begin with BOS.
  vocabulary.add_bos = data.add_bos.value_or(data.pre == "llama-bpe");
  return vocabulary;
}

/// Such a model is loaded, and refuses the first text that has one of these tokens.
void warn_of_missing_embeddings(const Tokenizer& tokenizer, int64_t vocabulary, const std::string& who) {
  if (tokenizer.vocabulary_size() <= vocabulary) return;
  warn(
      "{}: the tokenizer has ids up to {}, the model embeddings for 0 to {}; texts with a token beyond are "
      "refused",
      who, tokenizer.vocabulary_size() - 1, vocabulary - 1);
}

/// In place of whatever template the source has; null: leaves that.
void put_chat_format(TextFiles& files, const ChatFormat* format) {
  if (format == nullptr) return;
  constexpr const char* kFile = "chat_template.jinja";  // read before a template in tokenizer_config.json
  std::erase_if(files, [](const auto& file) { return file.first == kFile; });
  files.emplace_back(kFile, format->source);
}

void import_gguf_file(const fs::path& source, const fs::path& out, const ChatFormat* format) {
  const ImportedModel imported = import_gguf(*GgufFile::open(source));
  const GgufVocabulary vocabulary = vocabulary_of(imported.vocabulary);
  const std::string where = source.string();
  const Json tokenizer = tokenizer_json(vocabulary, where);
  warn_of_missing_embeddings(Tokenizer::from_json(tokenizer, where),
                             read_model_config(imported.config, where).vocabulary, where);
  TextFiles files;
  files.emplace_back("tokenizer.json", to_pretty(tokenizer));
  files.emplace_back(
      "tokenizer_config.json",
      to_pretty(tokenizer_config_json(vocabulary, imported.vocabulary.chat_template.value_or(""), where)));
  put_chat_format(files, format);
  write_model_folder(out, imported.config, imported.generation_config, imported.tensors, files);
}

void import_folder(const fs::path& source, const fs::path& out, const ChatFormat* format) {
  const auto model = Model::load(source, {.device = "cpu", .dtype = "fp32"});
  // A folder whose tokenizer we cannot read is of no use later.
  warn_of_missing_embeddings(Tokenizer::load(source), model->config().vocabulary, source.string());
  TextFiles files = text_files(source);
  put_chat_format(files, format);
  write_model_folder(out, model->config().source, generation_config(source), model->parameters(), files);
}

}  // namespace

void import_model(const fs::path& source, const fs::path& out, const std::string& format) {
  const ChatFormat* chat = format.empty() ? nullptr : &chat_format(format);
  std::error_code error;
  const fs::file_status status = fs::status(source, error);
  if (status.type() == fs::file_type::not_found)
    throw UserError("import: {} does not exist", source.string());
  if (status.type() == fs::file_type::none)
    throw UserError("import: cannot open {}: {}", source.string(), error.message());
  if (fs::is_directory(status)) {
    import_folder(source, out, chat);
  } else if (source.extension() == ".gguf") {
    import_gguf_file(source, out, chat);
  } else {
    throw UserError("import: {} is neither a .gguf file nor a model folder", source.string());
  }
  say("import: {} -> {}", source.string(), out.string());
}

std::string describe_model(const fs::path& folder) {
  const ModelFolder files = ModelFolder::open(folder);
  const ModelConfig c = read_model_config(files);
  int64_t parameters = 0, bytes = 0;
  for (const auto& [name, shape] : parameter_shapes(c)) {
    int64_t count = 1;
    for (const int64_t size : shape) count *= size;
    parameters += count;
  }
  for (const TensorEntry& entry : files.entries()) bytes += static_cast<int64_t>(entry.end - entry.begin);
  const Tokenizer tokenizer = Tokenizer::load(folder);
  warn_of_missing_embeddings(tokenizer, c.vocabulary, folder.string());
  std::string text;
  const auto line = [&](const char* what, const std::string& value) {
    text += fmt::format("{:<14}{}\n", what, value);
  };
  line("folder", folder.string());
  line("architecture", files.config()["architectures"][0].get<std::string>());
  line("parameters", fmt::format("{:.1f} M in {} tensors, {}", static_cast<double>(parameters) / 1e6,
                                 files.entries().size(), human_bytes(static_cast<double>(bytes))));
  line("shape", fmt::format("{} layers, width {}, MLP {}, {} heads over {} key-value heads of {}", c.layers,
                            c.width, c.inner_width, c.heads, c.kv_heads, c.head_width));
  line("vocabulary", fmt::format("{} in the model, {} in the tokenizer; embedding and head {}", c.vocabulary,
                                 tokenizer.vocabulary_size(), c.tied ? "tied" : "apart"));
  line("context", fmt::format("{} tokens", c.context));
  std::vector<std::string> ends;
  for (const int64_t id : c.end_ids) {
    if (tokenizer.has_token(id)) {
      ends.push_back(fmt::format("{} ({})", tokenizer.id_to_token(id), id));
    } else {
      warn("{}: answers end with the id {}, which no token has; is the tokenizer of another model?",
           folder.string(), id);
      ends.push_back(fmt::format("({})", id));
    }
  }
  line("ends answers", join(ends));
  line("training",
       fmt::format("AdamW in fp32 with 8 rows of 96 tokens needs about {}",
                   human_bytes(static_cast<double>(predicted_memory(
                       c, at::kFloat, 2, 0, 768, std::min(384 * c.vocabulary * 4, kKeptProbabilities))))));
  line("sha256", files.sha256());
  return text;
}

}  // namespace caltrop
