// render_fixture PROOF HTML: writes the page of a proof, for the browser test, which needs no model and no
// torch.
#include <cstdio>

#include "caltrop/base/error.h"
#include "caltrop/report/report.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("usage: render_fixture PROOF HTML\n", stderr);
    return 2;
  }
  try {
    caltrop::write_report(argv[1], argv[2]);
  } catch (const caltrop::UserError& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 2;
  }
}
