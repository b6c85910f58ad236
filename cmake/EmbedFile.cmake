# Files that the program carries inside itself.
#
#   caltrop_embed(LAYER NAME FILE)   defines `extern const std::string_view NAME` (namespace caltrop) with the bytes of
#                                    FILE, in a generated source of the layer; written anew when FILE changes.
#
# Below: the chart library of the report. It is not vendored; ./run build fetches it from npm.

function(caltrop_embed layer name file)
  set_property(DIRECTORY ${CMAKE_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  file(READ ${file} _bytes)
  string(FIND "${_bytes}" ")embedded\"" _collision)
  if(NOT _collision EQUAL -1)
    message(FATAL_ERROR "${file} holds )embedded\", which ends the string literal that carries it")
  endif()
  set(_out ${CMAKE_BINARY_DIR}/generated/${name}.cc)
  set(_source "// Written by cmake/EmbedFile.cmake from ${file}.
#include <string_view>

namespace caltrop {
extern const std::string_view ${name};
const std::string_view ${name} = R\"embedded(${_bytes})embedded\";
}  // namespace caltrop
")
  set(_old "")
  if(EXISTS ${_out})
    file(READ ${_out} _old)
  endif()
  if(NOT _old STREQUAL _source)
    file(WRITE ${_out} "${_source}")
  endif()
  target_sources(caltrop_${layer} PRIVATE ${_out})
endfunction()

set(UPLOT_DIR ${CMAKE_SOURCE_DIR}/.cache/npm/node_modules/uplot/dist CACHE PATH "folder `dist` of the npm package uplot")
foreach(_file uPlot.iife.min.js uPlot.min.css ../LICENSE)
  if(NOT EXISTS ${UPLOT_DIR}/${_file})
    message(FATAL_ERROR "The report's chart library is missing: no ${UPLOT_DIR}/${_file}. `./run build` fetches it "
                        "(npm package uplot 1.6.32); or pass -DUPLOT_DIR=/path/to/uplot/dist.")
  endif()
endforeach()
caltrop_embed(report kUplotScript ${UPLOT_DIR}/uPlot.iife.min.js)
caltrop_embed(report kUplotStyle ${UPLOT_DIR}/uPlot.min.css)
caltrop_embed(report kUplotLicense ${UPLOT_DIR}/../LICENSE)
caltrop_embed(report kPageScript ${CMAKE_SOURCE_DIR}/caltrop/report/page.js)
caltrop_embed(report kPageStyle ${CMAKE_SOURCE_DIR}/caltrop/report/page.css)
