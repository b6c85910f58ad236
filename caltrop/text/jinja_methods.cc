// The methods of strings, lists and dicts, of jinja_builtins.h. Those that change their object are not here: the sandbox
// of transformers refuses them.
#include <algorithm>

#include "caltrop/text/jinja_builtins.h"
#include "caltrop/text/jinja_runtime.h"
#include "caltrop/text/python_text.h"

namespace caltrop::jinja {
namespace {

using Method = Value (*)(Runtime&, const Value& self, const Arguments&);
using Methods = std::map<std::string, Method>;

Value stripped(Runtime& runtime, const Value& self, const Arguments& arguments, const char* who, Ends ends) {
  const Bound bound(arguments, who, {"chars"});
  const std::string& text = *self.text_if();
  if (!bound.has(0) || bound[0].is_none()) return std::string(strip(text, ends));
  const std::string of = bound.text(0, "");
  runtime.charge_search(text, of);
  return std::string(strip(text, ends, of));
}

Value splitted(Runtime& runtime, const Value& self, const Arguments& arguments, const char* who,
               bool from_right) {
  const Bound bound(arguments, who, {"sep", "maxsplit"});
  const std::string& text = *self.text_if();
  const int64_t limit = bound.integer(1, -1);
  std::vector<std::string> parts;
  if (!bound.has(0) || bound[0].is_none()) {
    parts = split_at_space(text, limit, from_right);
  } else {
    const std::string separator = bound.text(0, "");
    if (separator.empty()) throw Failure("{}: the separator is empty", who);
    runtime.charge_search(text, separator);
    parts = split(text, separator, limit, from_right);
  }
  runtime.charge(parts.size());
  return Value::list({parts.begin(), parts.end()});
}

/// Whether the text starts or ends with the argument, a string or a tuple of strings.
Value has_affix(const Value& self, const Arguments& arguments, const char* who,
                bool (*has)(std::string_view, std::string_view)) {
  const Bound bound(arguments, who, {"affix"}, 1);
  const std::string& text = *self.text_if();
  if (const Sequence* several = bound[0].sequence_if(); several && several->kind == Sequence::Kind::kTuple) {
    return std::any_of(several->items.begin(), several->items.end(),
                       [&](const Value& affix) { return has(text, affix.text(who)); });
  }
  return has(text, bound.text(0, ""));
}

/// The place of a string in characters; -1 if it is not there.
Value found(Runtime& runtime, const Value& self, const Arguments& arguments, const char* who,
            bool from_right) {
  const Bound bound(arguments, who, {"sub"}, 1);
  const std::string &text = *self.text_if(), sought = bound.text(0, "");
  runtime.charge_search(text, sought);
  const size_t at = from_right ? text.rfind(sought) : text.find(sought);
  return at == std::string::npos ? int64_t{-1} : count_characters(std::string_view(text).substr(0, at));
}

Value without_arguments(const Arguments& arguments, const char* who, std::string result) {
  const Bound none(arguments, who, {});
  return result;
}

/// Whether there is a character, and all that count are as wanted.
template <typename Wanted, typename Counts>
Value every(const Value& self, const Arguments& arguments, const char* who, Wanted wanted, Counts counts) {
  const Bound none(arguments, who, {});
  bool any = false;
  for (std::string_view character : characters(*self.text_if())) {
    if (!counts(character)) continue;
    if (!wanted(character)) return false;
    any = true;
  }
  return any;
}

bool always(std::string_view) { return true; }
bool is_digit(std::string_view character) { return character[0] >= '0' && character[0] <= '9'; }

const Methods& text_methods() {
  static const Methods kMethods = {
      {"capitalize",
       [](Runtime&, const Value& self, const Arguments& a) {
         return without_arguments(a, "capitalize", capitalize(*self.text_if()));
       }},
      {"count",
       [](Runtime& runtime, const Value& self, const Arguments& a) -> Value {
         const std::string sought = Bound(a, "count", {"sub"}, 1).text(0, "");
         if (sought.empty()) return self.length() + 1;
         runtime.charge_search(*self.text_if(), sought);
         return static_cast<int64_t>(split(*self.text_if(), sought, -1, false).size()) - 1;
       }},
      {"endswith",
       [](Runtime&, const Value& self, const Arguments& a) {
         return has_affix(self, a, "endswith",
                          [](std::string_view text, std::string_view end) { return text.ends_with(end); });
       }},
      {"find",
       [](Runtime& r, const Value& self, const Arguments& a) { return found(r, self, a, "find", false); }},
      {"isalpha", [](Runtime&, const Value& self,
                     const Arguments& a) { return every(self, a, "isalpha", is_letter, always); }},
      {"isdigit", [](Runtime&, const Value& self,
                     const Arguments& a) { return every(self, a, "isdigit", is_digit, always); }},
      {"islower",
       [](Runtime&, const Value& self, const Arguments& a) {
         return every(self, a, "islower", [](std::string_view c) { return lower(c) == c; }, is_cased);
       }},
      {"isspace", [](Runtime&, const Value& self,
                     const Arguments& a) { return every(self, a, "isspace", is_space, always); }},
      {"isupper",
       [](Runtime&, const Value& self, const Arguments& a) {
         return every(self, a, "isupper", [](std::string_view c) { return upper(c) == c; }, is_cased);
       }},
      {"join",
       [](Runtime& runtime, const Value& self, const Arguments& a) -> Value {
         std::string out;
         bool first = true;
         for (const Value& item : Bound(a, "join", {"iterable"}, 1)[0].iterate()) {
           if (!std::exchange(first, false)) out += *self.text_if();
           out += item.text("join");
           check_length(static_cast<double>(out.size()));
           runtime.charge(1);
         }
         return out;
       }},
      {"lower", [](Runtime&, const Value& self,
                   const Arguments& a) { return without_arguments(a, "lower", lower(*self.text_if())); }},
      {"lstrip", [](Runtime& r, const Value& self,
                    const Arguments& a) { return stripped(r, self, a, "lstrip", Ends::kLeft); }},
      {"removeprefix",
       [](Runtime&, const Value& self, const Arguments& a) -> Value {
         const std::string &text = *self.text_if(),
                           prefix = Bound(a, "removeprefix", {"prefix"}, 1).text(0, "");
         return text.starts_with(prefix) ? text.substr(prefix.size()) : text;
       }},
      {"removesuffix",
       [](Runtime&, const Value& self, const Arguments& a) -> Value {
         const std::string &text = *self.text_if(),
                           suffix = Bound(a, "removesuffix", {"suffix"}, 1).text(0, "");
         return text.ends_with(suffix) ? text.substr(0, text.size() - suffix.size()) : text;
       }},
      {"replace",
       [](Runtime& runtime, const Value& self, const Arguments& a) {
         const Bound bound(a, "replace", {"old", "new", "count"}, 2);
         bound.text(0, ""), bound.text(1, "");  // the filter would take anything
         return runtime.apply_filter("replace", self, a);
       }},
      {"rfind",
       [](Runtime& r, const Value& self, const Arguments& a) { return found(r, self, a, "rfind", true); }},
      {"rsplit", [](Runtime& r, const Value& self,
                    const Arguments& a) { return splitted(r, self, a, "rsplit", true); }},
      {"rstrip", [](Runtime& r, const Value& self,
                    const Arguments& a) { return stripped(r, self, a, "rstrip", Ends::kRight); }},
      {"split", [](Runtime& r, const Value& self,
                   const Arguments& a) { return splitted(r, self, a, "split", false); }},
      {"splitlines",
       [](Runtime& runtime, const Value& self, const Arguments& a) {
         const Bound bound(a, "splitlines", {"keepends"});
         const std::vector<std::string> lines = split_lines(*self.text_if(), bound.truth(0, false));
         runtime.charge(lines.size());
         return Value::list({lines.begin(), lines.end()});
       }},
      {"startswith",
       [](Runtime&, const Value& self, const Arguments& a) {
         return has_affix(self, a, "startswith", [](std::string_view text, std::string_view start) {
           return text.starts_with(start);
         });
       }},
      {"strip", [](Runtime& r, const Value& self,
                   const Arguments& a) { return stripped(r, self, a, "strip", Ends::kBoth); }},
      {"title", [](Runtime&, const Value& self,
                   const Arguments& a) { return without_arguments(a, "title", title(*self.text_if())); }},
      {"upper", [](Runtime&, const Value& self,
                   const Arguments& a) { return without_arguments(a, "upper", upper(*self.text_if())); }},
  };
  return kMethods;
}

/// One of the three views of a dict.
Value view_of(const Value& self, const Arguments& arguments, const char* who, Sequence::Kind kind) {
  const Bound none(arguments, who, {});
  std::vector<Value> items;
  for (const auto& [key, value] : self.dict_if()->items) {
    items.push_back(kind == Sequence::Kind::kDictKeys     ? key
                    : kind == Sequence::Kind::kDictValues ? value
                                                          : Value::tuple({key, value}));
  }
  return Value::sequence(kind, std::move(items));
}

const Methods& dict_methods() {
  static const Methods kMethods = {
      {"copy", [](Runtime&, const Value& self, const Arguments&) { return self; }},
      {"get",
       [](Runtime& runtime, const Value& self, const Arguments& a) -> Value {
         const Bound bound(a, "get", {"key", "default"}, 1);
         if (const Value* value = self.dict_if()->find(runtime, bound[0])) return *value;
         return bound.has(1) ? bound[1] : Value(None{});
       }},
      {"items", [](Runtime&, const Value& self,
                   const Arguments& a) { return view_of(self, a, "items", Sequence::Kind::kDictItems); }},
      {"keys", [](Runtime&, const Value& self,
                  const Arguments& a) { return view_of(self, a, "keys", Sequence::Kind::kDictKeys); }},
      {"values", [](Runtime&, const Value& self,
                    const Arguments& a) { return view_of(self, a, "values", Sequence::Kind::kDictValues); }},
  };
  return kMethods;
}

const Methods& list_methods() {
  static const Methods kMethods = {
      {"count",
       [](Runtime& runtime, const Value& self, const Arguments& a) -> Value {
         const Value sought = Bound(a, "count", {"value"}, 1)[0];
         const std::vector<Value>& items = self.sequence_if()->items;
         return static_cast<int64_t>(std::count_if(
             items.begin(), items.end(), [&](const Value& item) { return equal(runtime, item, sought); }));
       }},
      {"index",
       [](Runtime& runtime, const Value& self, const Arguments& a) -> Value {
         const Value sought = Bound(a, "index", {"value"}, 1)[0];
         const std::vector<Value>& items = self.sequence_if()->items;
         for (size_t i = 0; i < items.size(); ++i) {
           if (equal(runtime, items[i], sought)) return static_cast<int64_t>(i);
         }
         throw Failure("index: {} is not in the list", to_repr(runtime, sought));
       }},
  };
  return kMethods;
}

const Methods& methods_of(const Value& object) {
  static const Methods kNone;
  if (object.is_text()) return text_methods();
  if (object.dict_if() != nullptr) return dict_methods();
  if (const Sequence* sequence = object.sequence_if();
      sequence && (sequence->kind == Sequence::Kind::kList || sequence->kind == Sequence::Kind::kTuple)) {
    return list_methods();
  }
  return kNone;
}

}  // namespace

Value find_method(const Value& object, const std::string& name) {
  const Methods& methods = methods_of(object);
  const auto method = methods.find(name);
  if (method == methods.end()) return Undefined{"no method"};
  return Value::function(
      name,
      [self = object, call = method->second](Runtime& runtime, const Arguments& arguments) {
        runtime.charge(self.weight() / 64);
        return call(runtime, self, arguments);
      },
      {object});
}

std::vector<std::string> method_names(const Value& object) { return names_of(methods_of(object)); }

}  // namespace caltrop::jinja
