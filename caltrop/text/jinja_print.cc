// How values look as text: str(), repr() and json.dumps() of jinja_value.h.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "caltrop/text/jinja_builtins.h"
#include "caltrop/text/jinja_runtime.h"
#include "caltrop/text/python_text.h"

namespace caltrop::jinja {
namespace {

/// A text in the making: each piece is charged, and none makes it longer than a text may be.
class Output {
 public:
  explicit Output(Runtime& runtime) : runtime_(runtime) {}
  void add(std::string_view piece) {
    check_length(static_cast<double>(text_.size()) + static_cast<double>(piece.size()));
    runtime_.charge(1 + piece.size() / 16);
    text_ += piece;
  }
  std::string take() { return std::move(text_); }

 private:
  Runtime& runtime_;
  std::string text_;
};

std::string repr_of_text(const std::string& text) {
  const bool double_quoted = text.find('\'') != std::string::npos && text.find('"') == std::string::npos;
  const char quote = double_quoted ? '"' : '\'';
  std::string out(1, quote);
  for (std::string_view character : characters(text)) {
    const auto point = static_cast<uint32_t>(code_point(character));
    if (character == "\n") {
      out += "\\n";
    } else if (character == "\r") {
      out += "\\r";
    } else if (character == "\t") {
      out += "\\t";
    } else if (character[0] == '\\' || character[0] == quote) {
      out += '\\';
      out += character;
    } else if (is_printable(character)) {
      out += character;
    } else if (point < 0x100) {
      out += fmt::format("\\x{:02x}", point);
    } else if (point < 0x10000) {
      out += fmt::format("\\u{:04x}", point);
    } else {
      out += fmt::format("\\U{:08x}", point);
    }
  }
  return out += quote;
}

void write_repr(Output& out, const Value& value);

void write_items(Output& out, std::string_view open, const std::vector<Value>& items,
                 std::string_view close) {
  out.add(open);
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out.add(", ");
    write_repr(out, items[i]);
  }
  out.add(close);
}

void write_sequence(Output& out, const Sequence& sequence) {
  switch (sequence.kind) {
    case Sequence::Kind::kList:
      return write_items(out, "[", sequence.items, "]");
    case Sequence::Kind::kTuple:
      return write_items(out, "(", sequence.items, sequence.items.size() == 1 ? ",)" : ")");
    case Sequence::Kind::kDictKeys:
      return write_items(out, "dict_keys([", sequence.items, "])");
    case Sequence::Kind::kDictValues:
      return write_items(out, "dict_values([", sequence.items, "])");
    case Sequence::Kind::kDictItems:
      return write_items(out, "dict_items([", sequence.items, "])");
    case Sequence::Kind::kRange:
    case Sequence::Kind::kGenerator:
      break;
  }
  throw Failure("a {} cannot be printed; make it a list with the filter 'list'",
                sequence.kind == Sequence::Kind::kRange ? "range" : "generator");
}

void write_dict(Output& out, const Dict& dict) {
  out.add("{");
  for (size_t i = 0; i < dict.items.size(); ++i) {
    if (i > 0) out.add(", ");
    write_repr(out, dict.items[i].first);
    out.add(": ");
    write_repr(out, dict.items[i].second);
  }
  out.add("}");
}

/// str() and repr() of what is neither text nor a container.
std::string text_of_scalar(const Value& value) {
  if (value.is_none()) return "None";
  if (value.is_bool()) return value.truth() ? "True" : "False";
  if (value.is_int()) return std::to_string(value.as<int64_t>());
  if (value.is_float()) return to_repr(value.as<double>());
  throw Failure("{} cannot be printed", value.kind_name());
}

void write_repr(Output& out, const Value& value) {
  if (const std::string* text = value.text_if()) return out.add(repr_of_text(*text));
  if (const Sequence* sequence = value.sequence_if()) return write_sequence(out, *sequence);
  if (const Dict* dict = value.dict_if()) return write_dict(out, *dict);
  out.add(value.is_undefined() ? "Undefined" : text_of_scalar(value));
}

std::string json_of_text(const std::string& text, bool ascii_only) {
  std::string out = "\"";
  for (std::string_view character : characters(text)) {
    const auto point = static_cast<uint32_t>(code_point(character));
    switch (point) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\f':
        out += "\\f";
        break;
      case '\b':
        out += "\\b";
        break;
      default:
        if (point < 0x20 || (ascii_only && point >= 0x7F && point < 0x10000)) {
          out += fmt::format("\\u{:04x}", point);
        } else if (ascii_only && point >= 0x10000) {
          out += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((point - 0x10000) >> 10),
                             0xDC00 + ((point - 0x10000) & 0x3FF));
        } else {
          out += character;
        }
    }
  }
  return out += '"';
}

std::string json_of_scalar(const Value& value) {
  if (value.is_none()) return "null";
  if (value.is_bool()) return value.truth() ? "true" : "false";
  if (value.is_int()) return std::to_string(value.as<int64_t>());
  if (value.is_float()) {
    const double number = value.as<double>();
    if (std::isnan(number)) return "NaN";
    if (std::isinf(number)) return number > 0 ? "Infinity" : "-Infinity";
    return to_repr(number);
  }
  throw Failure("{} cannot be written as JSON", value.kind_name());
}

class JsonWriter {
 public:
  JsonWriter(Runtime& runtime, const JsonStyle& style) : runtime_(runtime), style_(style), out_(runtime) {}

  void write(const Value& value) {
    if (const std::string* text = value.text_if()) {
      out_.add(json_of_text(*text, style_.ascii_only));
    } else if (const Dict* dict = value.dict_if()) {
      write_dict(*dict);
    } else if (const Sequence* sequence = value.sequence_if();
               sequence &&
               (sequence->kind == Sequence::Kind::kList || sequence->kind == Sequence::Kind::kTuple)) {
      write_all(sequence->items, "[", "]", [&](const Value& item) { write(item); });
    } else {
      out_.add(json_of_scalar(value));
    }
  }
  std::string take() { return out_.take(); }

 private:
  template <typename Items, typename Write>
  void write_all(const Items& items, std::string_view open, std::string_view close, Write write_one) {
    out_.add(open);
    ++level_;
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_.add(style_.item_separator);
      break_line();
      write_one(items[i]);
    }
    --level_;
    if (!items.empty()) break_line();
    out_.add(close);
  }
  void write_dict(const Dict& dict) {
    std::vector<std::pair<Value, Value>> items = dict.items;
    if (style_.sort_keys) {
      std::stable_sort(items.begin(), items.end(),
                       [&](const auto& a, const auto& b) { return less(runtime_, a.first, b.first); });
    }
    write_all(items, "{", "}", [&](const auto& item) {
      const std::string* text = item.first.text_if();
      out_.add(json_of_text(text ? *text : json_of_scalar(item.first), style_.ascii_only));
      out_.add(style_.key_separator);
      write(item.second);
    });
  }
  void break_line() {
    if (!style_.indented) return;
    out_.add("\n");
    for (int i = 0; i < level_; ++i) out_.add(style_.indent);
  }

  Runtime& runtime_;
  const JsonStyle& style_;
  Output out_;
  int level_ = 0;
};

}  // namespace

std::string to_repr(double number) {
  if (std::isnan(number)) return "nan";
  if (std::isinf(number)) return number > 0 ? "inf" : "-inf";
  char buffer[64];
  const auto magnitude = std::abs(number);
  // Python writes the shortest digits that read back as the number, with an exponent outside [1e-4, 1e16).
  const bool plain = magnitude == 0 || (magnitude >= 1e-4 && magnitude < 1e16);
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, number,
                                 plain ? std::chars_format::fixed : std::chars_format::scientific)
                       .ptr;
  std::string out(buffer, end);
  if (plain && out.find('.') == std::string::npos) out += ".0";
  return out;
}

std::string to_repr(Runtime& runtime, const Value& value) {
  Output out(runtime);
  write_repr(out, value);
  return out.take();
}

std::string to_text(Runtime& runtime, const Value& value) {
  if (value.is_undefined()) return "";
  if (const std::string* text = value.text_if()) return *text;
  return to_repr(runtime, value);
}

std::string to_json(Runtime& runtime, const Value& value, const JsonStyle& style) {
  JsonWriter writer(runtime, style);
  writer.write(value);
  return writer.take();
}

}  // namespace caltrop::jinja
