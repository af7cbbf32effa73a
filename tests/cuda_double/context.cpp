// Initialisation, the one device, contexts of threads, errors that stick or are injected.
#include "double.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

struct CUctx_st {
    int uses;
};

namespace {

struct Fault {
    CUresult error;
    int after;  // calls that still go well
    bool sticky;
};

bool initialised = false;
CUctx_st primary{0};
CUresult sticky = CUDA_SUCCESS;
std::map<std::string, Fault> faults;
std::map<std::string, int> calls;
std::map<std::string, long> objects;
thread_local std::vector<CUcontext> current;

const char *setting(const char *name, const char *otherwise) {
    const char *value = std::getenv(name);
    return value ? value : otherwise;
}

}  // namespace

std::recursive_mutex &driver_lock() {
    static std::recursive_mutex lock;
    return lock;
}

CUresult enter(const char *function, Needs needs) {
    ++calls[function];
    auto fault = faults.find(function);
    if (fault != faults.end() && --fault->second.after < 0) {
        return fault->second.sticky ? stick(fault->second.error) : fault->second.error;
    }
    if (needs == Needs::NOTHING) {
        return CUDA_SUCCESS;
    }
    if (!initialised) {
        return CUDA_ERROR_NOT_INITIALIZED;
    }
    if (needs == Needs::INIT) {
        return CUDA_SUCCESS;
    }
    if (current.empty() || current.back()->uses == 0) {
        return CUDA_ERROR_INVALID_CONTEXT;
    }
    return sticky;
}

CUresult stick(CUresult error) {
    if (sticky == CUDA_SUCCESS) {
        sticky = error;
    }
    return error;
}

CUresult stuck() { return sticky; }
void object_made(const char *kind) { ++objects[kind]; }
void object_gone(const char *kind) { --objects[kind]; }

int device_capability() {
    return (int)(10 * std::atof(setting("CUDA_DOUBLE_CAPABILITY", "8.7")) + 0.5);
}

bool maps_host_memory() { return std::atoi(setting("CUDA_DOUBLE_MAPS", "1")) != 0; }

// A fault for a process that no test is in: "cuGraphLaunch 700 5" sticks after five good calls.
void take_fault_of_environment() {
    char function[64];
    int error, after;
    if (std::sscanf(setting("CUDA_DOUBLE_FAULT", ""), "%63s %d %d", function, &error, &after) == 3) {
        faults[function] = {static_cast<CUresult>(error), after, true};
    }
}

EXPORT CUresult cuInit(unsigned int) {
    ENTER(NOTHING);
    if (!initialised) {
        take_fault_of_environment();
    }
    initialised = true;
    return CUDA_SUCCESS;
}

// NVRTC 13 asks a driver that is there for a table of private functions, and may get none.
EXPORT CUresult cuGetExportTable(const void **table, const CUuuid *) {
    *table = nullptr;
    return CUDA_ERROR_NOT_FOUND;
}

EXPORT CUresult cuDriverGetVersion(int *version) {
    *version = std::atoi(setting("CUDA_DOUBLE_VERSION", "13000"));
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDeviceGetCount(int *count) {
    ENTER(INIT);
    *count = 1;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDeviceGet(CUdevice *device, int ordinal) {
    ENTER(INIT);
    *device = 0;
    return ordinal == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

EXPORT CUresult cuDeviceGetName(char *name, int bytes, CUdevice) {
    ENTER(INIT);
    std::strncpy(name, "CUDA double (no GPU)", bytes);
    name[bytes - 1] = '\0';
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDeviceTotalMem(size_t *bytes, CUdevice) {
    ENTER(INIT);
    *bytes = size_t(1) << 30;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice) {
    ENTER(INIT);
    switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = device_capability() / 10; break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = device_capability() % 10; break;
    case CU_DEVICE_ATTRIBUTE_INTEGRATED:
        *value = std::atoi(setting("CUDA_DOUBLE_INTEGRATED", "0"));
        break;
    case CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY: *value = maps_host_memory(); break;
    case CU_DEVICE_ATTRIBUTE_WARP_SIZE: *value = 32; break;
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *value = 1024; break;
    default: return CUDA_ERROR_NOT_SUPPORTED;
    }
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDeviceComputeCapability(int *major, int *minor, CUdevice) {
    ENTER(INIT);
    *major = device_capability() / 10;
    *minor = device_capability() % 10;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice) {
    ENTER(INIT);
    if (primary.uses++ == 0) {
        object_made("context");
    }
    *context = &primary;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDevicePrimaryCtxRelease(CUdevice) {
    ENTER(INIT);
    if (primary.uses == 0) {
        return CUDA_ERROR_INVALID_CONTEXT;
    }
    if (--primary.uses == 0) {
        object_gone("context");
        free_all_memory();
    }
    return CUDA_SUCCESS;
}

EXPORT CUresult cuCtxPushCurrent(CUcontext context) {
    ENTER(INIT);
    current.push_back(context);
    return CUDA_SUCCESS;
}

EXPORT CUresult cuCtxPopCurrent(CUcontext *context) {
    ENTER(INIT);
    if (current.empty()) {
        return CUDA_ERROR_INVALID_CONTEXT;
    }
    *context = current.back();
    current.pop_back();
    return CUDA_SUCCESS;
}

EXPORT CUresult cuCtxGetCurrent(CUcontext *context) {
    ENTER(INIT);
    *context = current.empty() ? nullptr : current.back();
    return CUDA_SUCCESS;
}

EXPORT CUresult cuCtxGetDevice(CUdevice *device) {
    ENTER(CONTEXT);
    *device = 0;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuCtxSynchronize() {
    ENTER(CONTEXT);
    lock.unlock();
    return drain_all();
}

EXPORT CUresult cuGetErrorString(CUresult error, const char **text) {
    switch (error) {
    case CUDA_ERROR_OUT_OF_MEMORY: *text = "out of memory"; break;
    case CUDA_ERROR_INVALID_CONTEXT: *text = "invalid device context"; break;
    case CUDA_ERROR_ILLEGAL_ADDRESS: *text = "an illegal memory access was encountered"; break;
    default: *text = "error of the CUDA double"; break;
    }
    return CUDA_SUCCESS;
}

// Let calls of `function` after the next `after` ones fail with `error`; 0 ends that.
EXPORT void cudaDoubleFail(const char *function, int error, int after, int sticks) {
    std::lock_guard<std::recursive_mutex> lock(driver_lock());
    faults.erase(function);
    if (error) {
        faults[function] = {static_cast<CUresult>(error), after, sticks != 0};
    }
}

EXPORT void cudaDoubleStick(int error) {
    std::lock_guard<std::recursive_mutex> lock(driver_lock());
    stick(static_cast<CUresult>(error));
}

// As a new process would find the driver: no error, no context, nothing left.
EXPORT void cudaDoubleNewProcess() {
    std::lock_guard<std::recursive_mutex> lock(driver_lock());
    sticky = CUDA_SUCCESS;
    primary.uses = 0;
    current.clear();
    free_all_memory();
    faults.clear();
    calls.clear();
    objects.clear();
}

EXPORT int cudaDoubleCalls(const char *function) {
    std::lock_guard<std::recursive_mutex> lock(driver_lock());
    return calls[function];
}

// How many objects of a kind were made and not destroyed: context, stream, event, module, graph,
// executable graph, device memory, pinned memory.
EXPORT long cudaDoubleLeft(const char *kind) {
    std::lock_guard<std::recursive_mutex> lock(driver_lock());
    return objects[kind];
}
