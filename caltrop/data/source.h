// Files of examples, whatever their rows are called.
//
// A row is a JSON object: a line of a .jsonl file, or an element of the list in a .json file. Five forms are
// known, and `format: auto` tells them apart by the fields of the first row:
//
//   messages          {"messages": [{"role": "user", "content": …}, {"role": "assistant", "content": …}], …}
//   beavertails       {"prompt", "response", "category": "…" or {"…": true, "…": false}, "is_safe"}
//   alpaca            {"instruction", "input" (may be empty), "output"}: input is put below the instruction
//   prompt_response   {"prompt", "response" (may be absent: a prompt alone), "category"?}; "kitchen" is the
//   same text              {"text"}: a prompt alone
//
// A field map reads files whose fields have other names: {"prompt": "question", "response": "answer"}. What a
// form does not use stays in Example::extra. Tested by tests/data/source_test.cc.
#pragma once

#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "caltrop/base/fields.h"
#include "caltrop/data/example.h"

namespace caltrop {

struct SourceSpec {
  std::string path;
  std::string format = "auto";
  Json fields_map = Json::object();
  Json filter = Json::object();
  int64_t limit = 0;

  static auto fields() {
    using O = SourceSpec;
    return std::tuple{
        field("path", &O::path, "a .jsonl file, or a .json file that holds a list"),
        field("format", &O::format,
              {"auto", "kitchen", "prompt_response", "messages", "alpaca", "beavertails", "text"},
              "the form of the rows"),
        field("fields", &O::fields_map, "our name of a field: its name in the file, where they differ"),
        field("filter", &O::filter,
              "field of the file: the value, or list of values, that a row must have to be taken"),
        field("limit", &O::limit, 0, 1e15, "rows taken at most, in the order of the file; 0 is all"),
    };
  }
};

struct LoadedSource {
  std::vector<Example> examples;
  std::string sha256;  // of the file
  int64_t rows_read = 0;
};

/// Reads all rows, filters, then cuts to the limit. Every row is checked, also those that are not taken.
/// `who` says in errors what asked for the file. Throws UserError: "<file>:<line>: got …, want …" for a bad
/// row, and errors for a file without rows and for a filter that leaves none.
LoadedSource load_examples(const SourceSpec& spec, const std::string& who);

}  // namespace caltrop
