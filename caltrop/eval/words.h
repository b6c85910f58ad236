// Words and characters of a text, as the judges see them. Model output is hostile input: any bytes are
// taken, bytes that are no UTF-8 count as U+FFFD. Tested by tests/eval/signature_test.cc.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace caltrop {

/// Maximal runs of letters, digits and inner apostrophes, in lower case (ASCII only; other scripts stay as
/// they are, and every character beyond ASCII but U+FFFD, signs and punctuation belongs to a word).
/// "Don't stir 2 cups at 350°F!" -> don't, stir, 2, cups, at, 350, f.
std::vector<std::string> words_of(std::string_view text);

/// Unicode characters, invalid bytes replaced by U+FFFD.
std::u32string characters_of(std::string_view text);

/// The word without a plural ending: onions -> onion, tomatoes -> tomato, berries -> berry. Crude: meant for
/// comparing two words that both went through it.
std::string singular(std::string word);

/// Whether it is one of the most common English words that say nothing of what a text is about (the, of, how,
/// you, …), or a word with which people ask for something (make, give, explain, …).
bool is_function_word(std::string_view word);

}  // namespace caltrop
