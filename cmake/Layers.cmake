# One static library a layer, made and linked by the table in LAYERS.
#
# caltrop/<layer>/*.cc become caltrop_<layer>. Three folders are also tables (model/families, defences,
# attacks): the list of their entries is written from the file names by caltrop_entry_table below, so that adding a method is adding a file.

set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/LAYERS)
file(STRINGS ${CMAKE_SOURCE_DIR}/LAYERS _lines REGEX "^[a-z]")

# Writes <layer>_table.cc with `std::vector<const TYPE*> FUNCTION()` listing `<file>_entry` for each DIR/<file>.cc.
function(caltrop_entry_table layer dir type header function)
  file(GLOB _files CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR}/${dir} ${CMAKE_SOURCE_DIR}/${dir}/*.cc)
  list(SORT _files)
  set(_declarations "")
  set(_entries "")
  foreach(_file IN LISTS _files)
    string(REPLACE ".cc" "" _name ${_file})
    string(APPEND _declarations "extern const ${type} ${_name}_entry;\n")
    string(APPEND _entries "&${_name}_entry, ")
  endforeach()
  set(_out ${CMAKE_BINARY_DIR}/generated/${function}.cc)
  file(CONFIGURE OUTPUT ${_out} CONTENT
"// Written by CMake from the file names in ${dir}.
#include <vector>

#include \"${header}\"

namespace caltrop {
${_declarations}
std::vector<const ${type}*> ${function}() { return {${_entries}}; }
}  // namespace caltrop
")
  target_sources(caltrop_${layer} PRIVATE ${_out})
endfunction()

set(CALTROP_PRECOMPILED <algorithm> <filesystem> <functional> <map> <memory> <optional> <string> <vector> <fmt/format.h>
  <nlohmann/json.hpp>)
set(CALTROP_PRECOMPILED_TORCH <ATen/ATen.h> <torch/csrc/autograd/custom_function.h> <torch/csrc/autograd/autograd.h>)

# Layers whose time goes to ATen and to kernels/: with -O1 they run as fast and compile in two thirds of the time.
set(CALTROP_COLD record report loss data model train defences attacks eval run cli)

foreach(_line IN LISTS _lines)
  string(REGEX MATCHALL "[a-z_]+" _words "${_line}")
  list(POP_FRONT _words _layer)
  set(_uses_torch FALSE)
  if("torch" IN_LIST _words)
    set(_uses_torch TRUE)
  endif()
  list(REMOVE_ITEM _words torch)

  file(GLOB_RECURSE _sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/caltrop/${_layer}/*.cc)
  list(REMOVE_ITEM _sources ${CMAKE_SOURCE_DIR}/caltrop/cli/main.cc)
  if(NOT _sources)
    file(WRITE ${CMAKE_BINARY_DIR}/generated/${_layer}_empty.cc "")
    set(_sources ${CMAKE_BINARY_DIR}/generated/${_layer}_empty.cc)
  endif()
  add_library(caltrop_${_layer} STATIC ${_sources})
  target_link_libraries(caltrop_${_layer} PUBLIC caltrop_flags)
  foreach(_below IN LISTS _words)
    target_link_libraries(caltrop_${_layer} PUBLIC caltrop_${_below})
  endforeach()
  if(_uses_torch)
    target_link_libraries(caltrop_${_layer} PUBLIC TorchWheel::torch)
    set(_headers ${CALTROP_PRECOMPILED} ${CALTROP_PRECOMPILED_TORCH})
  else()
    set(_headers ${CALTROP_PRECOMPILED})
  endif()
  set(_alike first_${_uses_torch})
  if(_layer IN_LIST CALTROP_COLD)
    target_compile_options(caltrop_${_layer} PRIVATE $<$<CONFIG:Release>:-O1>)
    set(_alike first_cold_${_uses_torch})
  endif()
  # The first layer of each kind, with torch or without, -O1 or not, compiles the large headers once for all that are alike.
  if(_layer STREQUAL "cli")
    target_precompile_headers(caltrop_cli PRIVATE ${CALTROP_PRECOMPILED} <ATen/core/Tensor.h> <CLI/CLI.hpp>)
  elseif(NOT DEFINED ${_alike})
    set(${_alike} caltrop_${_layer})
    target_precompile_headers(caltrop_${_layer} PRIVATE ${_headers})
  else()
    target_precompile_headers(caltrop_${_layer} REUSE_FROM ${${_alike}})
  endif()
endforeach()
