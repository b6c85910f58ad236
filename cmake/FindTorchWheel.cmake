# Finds the libtorch inside an installed PyPI wheel `torch`, CPU or CUDA build, and defines the target TorchWheel::torch.
#
# Why not find_package(Torch): on a CUDA wheel it demands the whole CUDA toolkit, and since CUDA 12.9 it fails on a
# target that no longer exists (pytorch#152756). We need headers and four shared libraries, nothing else.
#
#   TORCH_DIR   the folder of the Python package (…/site-packages/torch); by default that of the active Python.

if(NOT TORCH_DIR)
  set(_pythons "${CMAKE_SOURCE_DIR}/.venv/bin/python" python3)
  foreach(_python IN LISTS _pythons)
    execute_process(COMMAND ${_python} -c "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0])"
                    OUTPUT_VARIABLE _found OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE _rc)
    if(_rc EQUAL 0 AND EXISTS "${_found}/lib")
      set(TORCH_DIR "${_found}" CACHE PATH "folder of the Python package torch" FORCE)
      break()
    endif()
  endforeach()
endif()

if(NOT EXISTS "${TORCH_DIR}/include/ATen/ATen.h")
  message(FATAL_ERROR "No torch found. Run ./run build, which makes .venv with the wheel, or pass "
                      "-DTORCH_DIR=/path/to/site-packages/torch (got '${TORCH_DIR}').")
endif()

file(STRINGS "${TORCH_DIR}/share/cmake/Torch/TorchConfig.cmake" _abi REGEX "GLIBCXX_USE_CXX11_ABI=0")
if(_abi)
  message(FATAL_ERROR "${TORCH_DIR} was built with the old C++ ABI (_GLIBCXX_USE_CXX11_ABI=0); torch 2.9 or newer is needed.")
endif()

add_library(TorchWheel::torch INTERFACE IMPORTED)
target_include_directories(TorchWheel::torch SYSTEM INTERFACE
  "${TORCH_DIR}/include" "${TORCH_DIR}/include/torch/csrc/api/include")
foreach(_lib torch torch_cpu c10 torch_cuda c10_cuda)
  if(EXISTS "${TORCH_DIR}/lib/lib${_lib}.so")
    list(APPEND _libs "${TORCH_DIR}/lib/lib${_lib}.so")
  endif()
endforeach()
# libtorch_cuda registers its kernels when it is loaded; nothing refers to it, so the linker must be told to keep it.
# libstdc++ comes first: libtorch exports parts of another one (all of std::filesystem), which would otherwise take the place of
# what our code was compiled with. With the CUDA build of torch 2.11 remove_all of a folder died of it.
target_link_libraries(TorchWheel::torch INTERFACE -Wl,--no-as-needed -lstdc++ ${_libs} -Wl,--as-needed)
# The wheel's include folder holds an fmt of its own, and no library for it: header-only, every file compiles it anew, two seconds
# each. So the system's comes first.
find_package(fmt REQUIRED)
get_target_property(_fmt fmt::fmt INTERFACE_INCLUDE_DIRECTORIES)
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/system_fmt)
file(CREATE_LINK ${_fmt}/fmt ${CMAKE_BINARY_DIR}/system_fmt/fmt SYMBOLIC)
target_include_directories(TorchWheel::torch SYSTEM BEFORE INTERFACE ${CMAKE_BINARY_DIR}/system_fmt)

# at::parallel_for is a template that runs on one thread unless its caller is compiled with OpenMP; and there must be one
# OpenMP runtime in the process, torch's own, or two pools of threads fight for the cores.
target_compile_options(TorchWheel::torch INTERFACE -fopenmp)
file(GLOB _gomp "${TORCH_DIR}/lib/libgomp*.so*")
if(_gomp)
  list(GET _gomp 0 _gomp)
else()
  set(_gomp gomp)
endif()
target_link_libraries(TorchWheel::torch INTERFACE ${_gomp})
target_link_options(TorchWheel::torch INTERFACE "-Wl,-rpath,${TORCH_DIR}/lib")
message(STATUS "torch: ${TORCH_DIR}")
