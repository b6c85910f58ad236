// The program: a table of subcommands, the only catch, the only exit codes (0 done, 1 a proof with failed
// cells, 2 the user's input was wrong or the machine too small, 3 a bug in Caltrop; a CALTROP_ASSERT aborts).
#include <cstdio>
#include <exception>
#include <optional>
#include <string>
#include <string_view>

#include <CLI/CLI.hpp>

#include "caltrop/base/log.h"
#include "caltrop/base/memory.h"
#include "caltrop/cli/commands.h"
#include "caltrop/record/build_info.h"
#include "caltrop/run/failure.h"
#include "caltrop/tensor/host_memory.h"

namespace {

int fail(int exit_code, std::string_view message) {
  caltrop::clear_progress();
  std::fprintf(stderr, "caltrop: %.*s\n", static_cast<int>(message.size()), message.data());
  return exit_code;
}

/// What nobody expected. Files and options are checked where they are read, so this is ours to mend.
int fail_for_bug(std::string_view what) {
  return fail(3, "a bug in Caltrop: " + std::string(what.substr(0, what.find('\n'))));
}

}  // namespace

int main(int argc, char** argv) {
  using namespace caltrop;
  keep_freed_memory();
  allocate_tensors_plainly();

  CLI::App app("Caltrop hardens an open-weight language model so that tampering ruins it, and proves it.",
               "caltrop");
  app.require_subcommand(1);
  app.fallthrough();
  app.set_version_flag("--version", build_info().version + " (" + build_info().commit + ")");
  bool quiet = false;
  app.add_flag("-q,--quiet", quiet, "only results and errors");
  app.parse_complete_callback([&] {
    if (quiet) be_quiet();
  });
  int exit_code = 0;
  Commands commands{app, argc, argv, exit_code};
  add_model_commands(commands);
  add_run_commands(commands);
  add_report_commands(commands);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);  // prints help, version or what is wrong
    return code == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    const std::optional<std::string> why = explained(error);
    return why ? fail(2, *why) : fail_for_bug(error.what());
  }
  return exit_code;
}
