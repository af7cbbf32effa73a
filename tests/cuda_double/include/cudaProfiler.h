/* The profiler calls that pycuda compiles against; the wheels with CUDA's headers lack them.
 * Nothing in gasedge calls them. */
#pragma once

#include <cuda.h>

typedef enum CUoutput_mode_enum {
    CU_OUT_KEY_VALUE_PAIR = 0,
    CU_OUT_CSV = 1
} CUoutput_mode;

#ifdef __cplusplus
extern "C" {
#endif
CUresult CUDAAPI cuProfilerInitialize(const char *config, const char *output, CUoutput_mode mode);
CUresult CUDAAPI cuProfilerStart(void);
CUresult CUDAAPI cuProfilerStop(void);
#ifdef __cplusplus
}
#endif
