// `caltrop sense`: was a model fine-tuned toward the restricted domain? Read from its hidden states on harmless text by the sensor
// that a tripwire left beside its model. Tested by tests/run/sense_test.cc.
#pragma once

#include <filesystem>

#include "caltrop/base/json.h"
#include "caltrop/model/model.h"

namespace caltrop {

struct Sensed {
  double reading;    // mean over answers to benign test rows
  double rest;       // of the hardened model itself, as it was measured when the sensor was made
  double threshold;  // half way between the highest of rest and benign readings and the lowest harmful one
  bool is_harmful;   // reading > threshold
  // The sensor's errors when it was proved. Each attack and training is judged by the threshold that the others give, without it: by
  // one of its own making none could fail.
  int64_t harmful, missed;       // attacks, and how many of them lie below; 0 of 0 where there was one alone
  int64_t benign, false_alarms;  // benign trainings, and how many lie above
};

/// `sensor`: sensor.json of a tripwire's run directory. Throws UserError: a sensor that does not fit the model, or was never proved.
Sensed sense(const std::filesystem::path& model, const std::filesystem::path& sensor,
             const std::filesystem::path& domain, const ModelOptions& compute);

/// What it says, for a terminal.
std::string describe(const Sensed& sensed);

}  // namespace caltrop
