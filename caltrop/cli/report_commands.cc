#include <iostream>
#include <memory>

#include "caltrop/base/files.h"
#include "caltrop/base/log.h"
#include "caltrop/cli/commands.h"
#include "caltrop/report/load.h"
#include "caltrop/report/report.h"
#include "caltrop/report/results.h"
#include "caltrop/report/verdict.h"

namespace caltrop {

namespace fs = std::filesystem;

void add_report_commands(Commands& commands) {
  {
    CLI::App* command =
        commands.app.add_subcommand("report", "a proof as one HTML page, and its verdict in the terminal");
    auto proof = std::make_shared<fs::path>(), out = std::make_shared<fs::path>();
    command->add_option("proof", *proof, "directory that `caltrop prove` wrote")->required();
    command->add_option("--out", *out, "the page; default: report.html in the proof directory");
    command->callback([=] {
      const fs::path page = out->empty() ? *proof / "report.html" : *out;
      write_report(*proof, page);
      std::cout << terminal_verdict(load_proof(*proof));
      say("report: {}", page.string());
    });
  }
  {
    CLI::App* command = commands.app.add_subcommand("results", "many proofs as one Markdown page of tables");
    auto folders = std::make_shared<std::vector<fs::path>>();
    auto out = std::make_shared<fs::path>();
    command->add_option("proofs", *folders, "directories that `caltrop prove` wrote")->required();
    command->add_option("--out", *out, "the page; default: to the terminal");
    const std::string line = command_line(commands);
    command->callback([=] {
      std::vector<Proof> proofs;
      for (const fs::path& folder : *folders) proofs.push_back(load_proof(folder));
      const std::string page = results_page(proofs, line);
      if (out->empty()) {
        std::cout << page;
      } else {
        write_file(*out, page);
        say("results: {}", out->string());
      }
    });
  }
  {
    CLI::App* command = commands.app.add_subcommand("list", "the runs below a folder");
    auto folder = std::make_shared<fs::path>("runs");
    command->add_option("folder", *folder, "where to look")->capture_default_str();
    command->callback([=] { std::cout << runs_table(list_runs(*folder)); });
  }
}

}  // namespace caltrop
