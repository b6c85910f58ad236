// Writes a model folder with random weights: `make_tiny_model FOLDER`. For the end-to-end tests.
#include <cstdio>

#include "tests/support/tiny_model.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_tiny_model FOLDER\n");
    return 2;
  }
  caltrop::test::write_tiny_folder(argv[1]);
}
