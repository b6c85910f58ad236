// The subcommands, grouped as people meet them. Each group adds its own to the program.
#pragma once

#include <string>

#include <CLI/CLI.hpp>

#include "caltrop/model/model.h"

namespace caltrop {

struct Commands {
  CLI::App& app;
  int argc;
  char** argv;
  int& exit_code;
};

/// How the program was called, for the record.
std::string command_line(const Commands& commands);

void add_model_commands(Commands& commands);   // import info chat generate tokenize template
void add_run_commands(Commands& commands);     // defend attack evaluate sense prove methods
void add_report_commands(Commands& commands);  // report results list

/// --device and --dtype.
void add_compute_options(CLI::App& command, ModelOptions& compute);

}  // namespace caltrop
