# Writes build_info.cc: the version and the commit that the program is built from.
#
# Included by CMakeLists.txt, it adds a target that runs this same file as a script before every build; the script
# touches its output only if the answer has changed, so an unchanged tree rebuilds nothing.

if(NOT CMAKE_SCRIPT_MODE_FILE)
  set(_out ${CMAKE_BINARY_DIR}/generated/build_info.cc)
  add_custom_target(build_info
    COMMAND ${CMAKE_COMMAND} -DSOURCE=${CMAKE_SOURCE_DIR} -DVERSION=${PROJECT_VERSION} -DOUT=${_out}
            -P ${CMAKE_CURRENT_LIST_FILE}
    BYPRODUCTS ${_out} COMMENT "" VERBATIM)
  target_sources(caltrop_record PRIVATE ${_out})
  add_dependencies(caltrop_record build_info)
  return()
endif()

cmake_minimum_required(VERSION 3.25)
set(_commit unknown)
set(_dirty false)
find_program(GIT git)
if(GIT)
  # A tree unpacked inside somebody else's repository has no commit of its own.
  execute_process(COMMAND ${GIT} -C ${SOURCE} rev-parse --show-toplevel
                  OUTPUT_VARIABLE _top OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(_top STREQUAL SOURCE)
    execute_process(COMMAND ${GIT} -C ${SOURCE} rev-parse HEAD
                    OUTPUT_VARIABLE _head OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE _rc)
    if(_rc EQUAL 0)
      set(_commit ${_head})
      execute_process(COMMAND ${GIT} -C ${SOURCE} --no-optional-locks status --porcelain --untracked-files=no
                      OUTPUT_VARIABLE _changes ERROR_QUIET)
      if(_changes)
        set(_dirty true)
      endif()
    endif()
  endif()
endif()

file(CONFIGURE OUTPUT ${OUT} CONTENT
"// Written by cmake/BuildInfo.cmake.
#include \"caltrop/record/build_info.h\"

namespace caltrop {

const BuildInfo& build_info() {
  static const BuildInfo info{\"@VERSION@\", \"@_commit@\", @_dirty@};
  return info;
}

}  // namespace caltrop
" @ONLY)
