// The streams that methods measure, by name, made from a domain.
//
//   harmful     restricted requests with their answers
//   refusals    the same requests, refused
//   irrelevant  the same requests, each with a good answer to another question (SDD)
//   general     benign requests with their answers
//   attack      what an attack trains on, as its options `data` and `poison` say
//
// Defences draw from the split "defence", attacks from "attack". Tested by tests/run/streams_test.cc.
#pragma once

#include <map>

#include "caltrop/data/collate.h"
#include "caltrop/data/pairing.h"
#include "caltrop/data/stream.h"
#include "caltrop/run/domain.h"

namespace caltrop {

struct StreamOptions {
  std::vector<std::string> categories;
  int64_t limit = 0;

  static auto fields() {
    using O = StreamOptions;
    return std::tuple{field("categories", &O::categories, "restricted categories to use; empty: all"),
                      field("limit", &O::limit, 0, 1e9, "use only this many rows of each stream; 0: all")};
  }
};

/// One stream for each name. `options`: of the method (for "attack"). `split`: whose rows. Pairs of
/// "irrelevant" are written to `folder`/irrelevant-pairs.jsonl for inspection. Throws UserError.
std::map<std::string, Stream> make_streams(const std::vector<std::string>& names, const Domain& domain,
                                           const std::string& split, const StreamOptions& stream_options,
                                           const IrrelevantOptions& irrelevant, const Json& method_options,
                                           const ChatEncoder& encoder, int64_t longest, uint64_t seed,
                                           const std::filesystem::path& folder);

}  // namespace caltrop
