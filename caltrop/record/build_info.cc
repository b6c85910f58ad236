#include "caltrop/record/build_info.h"

namespace caltrop {

Json build_info_json() {
  const BuildInfo& info = build_info();
  return {{"version", info.version}, {"commit", info.commit}, {"dirty", info.dirty}};
}

}  // namespace caltrop
