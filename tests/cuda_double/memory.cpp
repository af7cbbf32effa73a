// Device memory behind addresses that the host cannot follow, pinned host memory, copies and fills.
#include "double.h"

#include <cstdlib>
#include <cstring>
#include <map>

namespace {

constexpr unsigned char POISON = 0xC7;   // what fresh memory holds: no class index, an odd score
constexpr unsigned char BORDER = 0x5B;
constexpr size_t BORDER_BYTES = 4096;
constexpr size_t ALIGNMENT = 512;
constexpr CUdeviceptr FIRST_ADDRESS = 0xD0D0'0000'0000;  // not canonical on x86-64 or aarch64

struct Block {
    size_t bytes;
    std::vector<unsigned char> memory;  // border, bytes, border
    char *start() { return reinterpret_cast<char *>(memory.data()) + BORDER_BYTES; }
};

std::map<CUdeviceptr, Block> blocks;
std::map<const char *, size_t> pinned;
std::map<CUdeviceptr, std::pair<char *, size_t>> mapped;  // pinned memory that kernels may use
CUdeviceptr next_address = FIRST_ADDRESS;
size_t used = 0;
size_t capacity = size_t(1) << 30;

CUresult copy_to_device(CUdeviceptr to, const void *from, size_t bytes) {
    char *memory = host_view(to, bytes);
    if (!memory) {
        return stick(CUDA_ERROR_ILLEGAL_ADDRESS);
    }
    std::memcpy(memory, from, bytes);
    return CUDA_SUCCESS;
}

CUresult copy_to_host(void *to, CUdeviceptr from, size_t bytes) {
    const char *memory = host_view(from, bytes);
    if (!memory) {
        return stick(CUDA_ERROR_ILLEGAL_ADDRESS);
    }
    std::memcpy(to, memory, bytes);
    return CUDA_SUCCESS;
}

}  // namespace

namespace {

char *mapped_view(CUdeviceptr address, size_t bytes) {
    auto after = mapped.upper_bound(address);
    if (after == mapped.begin()) {
        return nullptr;
    }
    auto &[start, host] = *std::prev(after);
    size_t offset = address - start;
    bool inside = offset + bytes <= host.second && (bytes > 0 || offset < host.second);
    return inside ? host.first + offset : nullptr;
}

}  // namespace

char *host_view(CUdeviceptr address, size_t bytes) {
    if (char *host = mapped_view(address, bytes)) {
        return host;
    }
    auto after = blocks.upper_bound(address);
    if (after == blocks.begin()) {
        return nullptr;
    }
    auto block = std::prev(after);
    size_t offset = address - block->first;
    if (offset + bytes > block->second.bytes || (bytes == 0 && offset >= block->second.bytes)) {
        return nullptr;
    }
    return block->second.start() + offset;
}

bool borders_are_whole() {
    for (auto &[address, block] : blocks) {
        for (size_t i = 0; i < BORDER_BYTES; ++i) {
            if (block.memory[i] != BORDER ||
                block.memory[BORDER_BYTES + block.bytes + i] != BORDER) {
                return false;
            }
        }
    }
    return true;
}

bool is_pinned(const void *host, size_t bytes) {
    auto at = static_cast<const char *>(host);
    auto after = pinned.upper_bound(at);
    return after != pinned.begin() &&
           at + bytes <= std::prev(after)->first + std::prev(after)->second;
}

void free_all_memory() {
    for (auto &each : blocks) {
        (void)each;
        object_gone("device memory");
    }
    blocks.clear();
    used = 0;
}

EXPORT CUresult cuMemAlloc(CUdeviceptr *address, size_t bytes) {
    ENTER(CONTEXT);
    if (bytes == 0) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    if (anything_is_capturing()) {
        return refuse_capture(nullptr);
    }
    if (used + bytes > capacity) {
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    Block block{bytes, std::vector<unsigned char>(bytes + 2 * BORDER_BYTES, BORDER)};
    std::memset(block.start(), POISON, bytes);
    *address = next_address;
    next_address += (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT + (1 << 20);
    blocks.emplace(*address, std::move(block));
    used += bytes;
    object_made("device memory");
    return CUDA_SUCCESS;
}

EXPORT CUresult cuMemFree(CUdeviceptr address) {
    ENTER(CONTEXT);
    lock.unlock();
    CUresult pending = drain_all();  // freeing waits for the device
    lock.lock();
    auto block = blocks.find(address);
    if (block == blocks.end()) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    used -= block->second.bytes;
    blocks.erase(block);
    object_gone("device memory");
    return pending;
}

EXPORT CUresult cuMemGetInfo(size_t *available, size_t *total) {
    ENTER(CONTEXT);
    *available = capacity - used;
    *total = capacity;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuMemHostAlloc(void **host, size_t bytes, unsigned int flags) {
    ENTER(CONTEXT);
    if ((flags & CU_MEMHOSTALLOC_DEVICEMAP) && !maps_host_memory()) {
        return CUDA_ERROR_NOT_SUPPORTED;
    }
    if (bytes == 0 || posix_memalign(host, 4096, bytes)) {
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    std::memset(*host, POISON, bytes);
    pinned[static_cast<char *>(*host)] = bytes;
    if (flags & CU_MEMHOSTALLOC_DEVICEMAP) {
        mapped[next_address] = {static_cast<char *>(*host), bytes};
        next_address += (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT + (1 << 20);
    }
    object_made("pinned memory");
    return CUDA_SUCCESS;
}

EXPORT CUresult cuMemHostGetDevicePointer(CUdeviceptr *address, void *host, unsigned int) {
    ENTER(CONTEXT);
    for (auto &[start, memory] : mapped) {
        if (memory.first == host) {
            *address = start;
            return CUDA_SUCCESS;
        }
    }
    return CUDA_ERROR_INVALID_VALUE;  // not pinned with DEVICEMAP
}

EXPORT CUresult cuMemFreeHost(void *host) {
    ENTER(CONTEXT);
    lock.unlock();
    CUresult pending = drain_all();
    lock.lock();
    if (!pinned.erase(static_cast<char *>(host))) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    for (auto each = mapped.begin(); each != mapped.end();) {
        each = each->second.first == host ? mapped.erase(each) : std::next(each);
    }
    std::free(host);
    object_gone("pinned memory");
    return pending;
}

EXPORT CUresult cuMemcpyHtoD(CUdeviceptr to, const void *from, size_t bytes) {
    ENTER(CONTEXT);
    lock.unlock();
    if (CUresult before = drain(nullptr)) {
        return before;
    }
    lock.lock();
    return copy_to_device(to, from, bytes);
}

EXPORT CUresult cuMemcpyDtoH(void *to, CUdeviceptr from, size_t bytes) {
    ENTER(CONTEXT);
    lock.unlock();
    if (CUresult before = drain(nullptr)) {
        return before;
    }
    lock.lock();
    return copy_to_host(to, from, bytes);
}

EXPORT CUresult cuMemcpyHtoDAsync(
    CUdeviceptr to, const void *from, size_t bytes, CUstream stream) {
    ENTER(CONTEXT);
    if (is_pinned(from, bytes)) {
        return enqueue(stream, [=] { return copy_to_device(to, from, bytes); });
    }
    if (is_capturing(stream)) {
        return refuse_capture(stream);
    }
    // Pageable memory is staged at once: the caller may change it when this returns.
    auto start = static_cast<const char *>(from);
    std::vector<char> staged(start, start + bytes);
    return enqueue(stream, [=] { return copy_to_device(to, staged.data(), bytes); });
}

EXPORT CUresult cuMemcpyDtoHAsync(void *to, CUdeviceptr from, size_t bytes, CUstream stream) {
    ENTER(CONTEXT);
    if (is_pinned(to, bytes)) {
        return enqueue(stream, [=] { return copy_to_host(to, from, bytes); });
    }
    if (is_capturing(stream)) {
        return refuse_capture(stream);
    }
    lock.unlock();
    if (CUresult before = drain(stream)) {  // into pageable memory: returns when it is there
        return before;
    }
    lock.lock();
    return copy_to_host(to, from, bytes);
}

EXPORT CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t bytes, CUstream stream) {
    ENTER(CONTEXT);
    return enqueue(stream, [=] {
        char *memory = host_view(to, bytes);
        if (!memory) {
            return stick(CUDA_ERROR_ILLEGAL_ADDRESS);
        }
        std::memset(memory, value, bytes);
        return CUDA_SUCCESS;
    });
}

// Where the bytes of a device address really are, for the TensorRT double's work on the device.
EXPORT void *cudaDoubleHostView(CUdeviceptr address, size_t bytes) {
    std::lock_guard<std::recursive_mutex> lock(driver_lock());
    return host_view(address, bytes);
}

EXPORT void cudaDoubleSetCapacity(size_t bytes) {
    std::lock_guard<std::recursive_mutex> lock(driver_lock());
    capacity = bytes;
}
