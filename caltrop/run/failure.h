// What went wrong, for people: the user's input or the machine on one side, our bugs on the other.
// Tested by tests/run/failure_test.cc.
#pragma once

#include <exception>
#include <functional>
#include <optional>
#include <string>

namespace caltrop {

/// The message of an error that is not ours: wrong input (UserError), what the system refuses (a file, a disk, a thread), memory
/// that ran out, a GPU that is not there for us. Nothing for a bug.
std::optional<std::string> explained(const std::exception& error);

/// Does `work` on a cell, or on the model of cells, and returns what it failed of, for their record; "" if it came to its end.
/// BusyRunDir and bugs go on to the caller.
std::string failure_of(const std::function<void()>& work);

}  // namespace caltrop
