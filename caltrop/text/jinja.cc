#include "caltrop/text/jinja.h"

#include "caltrop/base/error.h"
#include "caltrop/text/jinja_parser.h"
#include "caltrop/text/jinja_runtime.h"

namespace caltrop {

std::tm local_time() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  return local;
}

JinjaTemplate::JinjaTemplate(const std::string& source, std::string name)
    : name_(std::move(name)),
      parsed_(std::make_shared<const jinja::ParsedTemplate>(jinja::parse(source, name_))) {}

JinjaOutput JinjaTemplate::render(const Json& variables, const JinjaClock& clock) const {
  jinja::Runtime runtime(name_, clock);
  try {
    return runtime.run(parsed_->body, variables);
  } catch (const jinja::Failure& failure) {
    throw UserError("{}: {}", runtime.where(), failure.what());
  }
}

bool JinjaTemplate::marks_generation() const { return parsed_->marks_generation; }

}  // namespace caltrop
