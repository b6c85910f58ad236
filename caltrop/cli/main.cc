// The program: a table of subcommands, the only catch, the only exit codes (0 done, 1 a proof with failed
// cells, 2 the user's input was wrong).
#include <cstdio>
#include <exception>

#include <CLI/CLI.hpp>

#include <c10/util/Exception.h>

#include "caltrop/base/error.h"
#include "caltrop/base/log.h"
#include "caltrop/base/memory.h"
#include "caltrop/cli/commands.h"
#include "caltrop/record/build_info.h"

int main(int argc, char** argv) {
  using namespace caltrop;
  keep_freed_memory();

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
  } catch (const UserError& error) {
    clear_progress();
    std::fprintf(stderr, "caltrop: %s\n", error.what());
    return 2;
  } catch (const c10::OutOfMemoryError& error) {
    clear_progress();
    std::fprintf(stderr,
                 "caltrop: %s\nA smaller train.micro_batch needs less and computes the same; for rl and "
                 "token_buncher, "
                 "train.batch or options.samples.\n",
                 error.what_without_backtrace());
    return 2;
  }
  return exit_code;
}
