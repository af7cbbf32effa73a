// Modules and launches. An image must be one that the device could run and hold the kernel by name;
// what runs is the same source, compiled for this CPU.
#include "double.h"

#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <elf.h>

struct Dim3 {
    unsigned int x, y, z;
};

struct CUmod_st {
    std::string image;
};

struct CUfunc_st {
    std::string name;
};

namespace {

using LaunchKernel = int (*)(
    const char *name, Dim3 grid, Dim3 block, const void *parameters, size_t bytes,
    void *(*translate)(unsigned long long));

LaunchKernel kernels() {
    static LaunchKernel found = [] {
        const char *path = std::getenv("CUDA_DOUBLE_KERNELS");
        void *library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : nullptr;
        return library ? reinterpret_cast<LaunchKernel>(dlsym(library, "launch_kernel")) : nullptr;
    }();
    return found;
}

void *translate(unsigned long long address) { return host_view(address, 0); }

constexpr unsigned int MACHINE_CUDA = 190;

// The architecture of a cubin, 87 for sm_87. CUDA 13 keeps it one byte higher than CUDA 12.
int cubin_architecture(const Elf64_Ehdr &header) {
    return header.e_ident[EI_ABIVERSION] >= 8 ? (header.e_flags >> 8) & 0xff
                                              : header.e_flags & 0xff;
}

CUresult check_cubin(const char *image, size_t &bytes) {
    Elf64_Ehdr header;
    std::memcpy(&header, image, sizeof header);
    if (header.e_machine != MACHINE_CUDA) {
        return CUDA_ERROR_INVALID_IMAGE;
    }
    int built = cubin_architecture(header), here = device_capability();
    if (built / 10 != here / 10 || built % 10 > here % 10) {
        return CUDA_ERROR_NO_BINARY_FOR_GPU;
    }
    size_t sections = header.e_shoff + size_t(header.e_shnum) * header.e_shentsize;
    size_t segments = header.e_phoff + size_t(header.e_phnum) * header.e_phentsize;
    bytes = std::max(sections, segments);
    return CUDA_SUCCESS;
}

CUresult check_ptx(const char *image, size_t &bytes) {
    const char *target = std::strstr(image, ".target sm_");
    if (!target) {
        return CUDA_ERROR_INVALID_PTX;
    }
    bytes = std::strlen(image);
    int built = std::atoi(target + std::strlen(".target sm_"));
    return built <= device_capability() ? CUDA_SUCCESS : CUDA_ERROR_INVALID_PTX;
}

}  // namespace

EXPORT CUresult cuModuleLoadDataEx(
    CUmodule *module, const void *data, unsigned int, CUjit_option *, void **) {
    ENTER(CONTEXT);
    auto image = static_cast<const char *>(data);
    size_t bytes = 0;
    bool is_elf = std::memcmp(image, ELFMAG, SELFMAG) == 0;
    if (CUresult error = is_elf ? check_cubin(image, bytes) : check_ptx(image, bytes)) {
        return error;
    }
    *module = new CUmod_st{std::string(image, bytes)};
    object_made("module");
    return CUDA_SUCCESS;
}

EXPORT CUresult cuModuleUnload(CUmodule module) {
    ENTER(CONTEXT);
    delete module;
    object_gone("module");
    return CUDA_SUCCESS;
}

EXPORT CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
    ENTER(CONTEXT);
    if (module->image.find(name) == std::string::npos) {
        return CUDA_ERROR_NOT_FOUND;
    }
    static std::vector<std::unique_ptr<CUfunc_st>> functions;  // a function lives with its module
    functions.push_back(std::make_unique<CUfunc_st>(CUfunc_st{name}));
    *function = functions.back().get();
    return CUDA_SUCCESS;
}

// pycuda still calls it before every launch, which then names the shape itself.
EXPORT CUresult cuFuncSetBlockShape(CUfunction, int, int, int) {
    ENTER(CONTEXT);
    return CUDA_SUCCESS;
}

EXPORT CUresult cuLaunchKernel(
    CUfunction function, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z,
    unsigned int block_x, unsigned int block_y, unsigned int block_z, unsigned int,
    CUstream stream, void **parameters, void **extra) {
    ENTER(CONTEXT);
    if (!grid_x || !grid_y || !grid_z || !block_x || !block_y || !block_z ||
        block_x * block_y * block_z > 1024 || grid_y > 65535 || grid_z > 65535) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    if (parameters || !extra || extra[0] != CU_LAUNCH_PARAM_BUFFER_POINTER ||
        extra[2] != CU_LAUNCH_PARAM_BUFFER_SIZE || !kernels()) {
        return CUDA_ERROR_NOT_SUPPORTED;
    }
    auto start = static_cast<const char *>(extra[1]);
    std::vector<char> buffer(start, start + *static_cast<size_t *>(extra[3]));
    Dim3 grid{grid_x, grid_y, grid_z}, block{block_x, block_y, block_z};
    std::string name = function->name;
    return enqueue(stream, [=] {
        int status =
            kernels()(name.c_str(), grid, block, buffer.data(), buffer.size(), translate);
        return status == 0   ? CUDA_SUCCESS
               : status == 3 ? stick(CUDA_ERROR_ILLEGAL_ADDRESS)
                             : stick(CUDA_ERROR_LAUNCH_FAILED);
    });
}
