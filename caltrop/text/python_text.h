// Python's str for UTF-8: characters are counted and cut as code points, white space and case are Unicode's.
//
// Bytes that are not valid UTF-8 count as one character each. Case is mapped one character to one, except that upper()
// makes "SS" of "ß": Python also expands ligatures ("ﬁ") and knows a final sigma.
// Tested by tests/text/python_text_test.cc.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace caltrop {

/// The characters of `text`, which must outlive them.
std::vector<std::string_view> characters(std::string_view text);
int64_t count_characters(std::string_view text);

/// str.isspace() for one character.
bool is_space(std::string_view character);
bool is_letter(std::string_view character);
bool is_cased(std::string_view character);
/// str.isprintable() for one character: otherwise repr() escapes it.
bool is_printable(std::string_view character);
/// The code point; a byte that is not UTF-8 is U+FFFD.
char32_t code_point(std::string_view character);

/// Without characters of `strip`, or without white space if that is null, at the ends asked for.
enum class Ends { kLeft, kRight, kBoth };
std::string_view strip(std::string_view text, Ends ends);
std::string_view strip(std::string_view text, Ends ends, std::string_view of);

std::string upper(std::string_view text);
std::string lower(std::string_view text);
/// str.title(): a capital where a letter follows something else.
std::string title(std::string_view text);
/// str.capitalize().
std::string capitalize(std::string_view text);

/// str.split(separator, limit): at most `limit` cuts, no limit if negative; from the right for rsplit.
std::vector<std::string> split(std::string_view text, std::string_view separator, int64_t limit,
                               bool from_right);
/// str.split(None, limit): at runs of white space, without empty parts.
std::vector<std::string> split_at_space(std::string_view text, int64_t limit, bool from_right);
/// str.splitlines().
std::vector<std::string> split_lines(std::string_view text, bool keep_ends);

/// str.replace(old, with, limit): all if the limit is negative. An empty `old` stands between all characters.
std::string replace(std::string_view text, std::string_view old, std::string_view with, int64_t limit);

}  // namespace caltrop
