// Writes a model folder with random weights and the tests' tokenizer: `make_tiny_model FOLDER`. For the end-to-end tests.
#include <cstdio>

#include <ATen/ATen.h>

#include "caltrop/base/files.h"
#include "caltrop/io/model_folder.h"
#include "tests/support/tiny_model.h"

int main(int argc, char** argv) {
  using namespace caltrop;
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_tiny_model FOLDER\n");
    return 2;
  }
  Json config = test::tiny_config();
  config["vocab_size"] = 512;
  config["max_position_embeddings"] = 1024;
  config["rope_theta"] = 10000.0;
  at::manual_seed(1);
  NamedTensors parameters;
  for (const auto& [name, shape] : parameter_shapes(read_model_config(config, "tiny"))) {
    parameters.emplace_back(name, shape.size() == 1 ? at::ones(shape) : at::randn(shape) * 0.1);
  }
  TextFiles files;
  for (const char* name : {"tokenizer.json", "tokenizer_config.json"}) {
    files.emplace_back(name, read_file(test::data_file(std::string("tiny-model/") + name)));
  }
  write_model_folder(argv[1], config, Json(), parameters, files);
}
