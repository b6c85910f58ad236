// CALTROP_VECTOR_TARGETS compiles a function for plain x86-64, AVX2 and AVX-512; the loader picks by the
// processor. The loops inside are plain C++ that the compiler vectorises.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define CALTROP_VECTOR_TARGETS __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CALTROP_VECTOR_TARGETS
#endif
