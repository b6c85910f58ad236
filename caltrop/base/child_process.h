// A program of the user's that answers lines with lines for as long as it lives. Runs by libuv; no shell is involved.
// Tested by tests/base/child_process_test.cc.
#pragma once

#include <memory>
#include <string>
#include <vector>

namespace caltrop {

class ChildProcess {
 public:
  /// Starts command[0], looked for on PATH, with the rest as its arguments; its standard error is ours. `who` begins every
  /// message. Throws UserError if it cannot be started.
  ChildProcess(std::vector<std::string> command, std::string who);
  /// Ends the program and all that it has started: what they hold must be safe to lose.
  ~ChildProcess();

  /// Writes all lines and waits for one line of answer to each, in order. Throws UserError if the program ends, says nothing for
  /// `seconds`, or says more lines than it was asked for; the program is then of no further use. Not thread-safe.
  std::vector<std::string> ask(const std::vector<std::string>& lines, double seconds);

 private:
  struct Loop;
  std::unique_ptr<Loop> loop_;
};

}  // namespace caltrop
