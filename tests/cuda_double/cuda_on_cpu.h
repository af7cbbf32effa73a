// CUDA source as plain C++: thread indices are variables that the launch below supplies, one
// thread after the other. Kernels that share memory or wait for each other are not covered.
#pragma once

#include <cstddef>
#include <cstring>
#include <tuple>
#include <utility>

#define __global__
#define __device__

struct Dim3 {
    unsigned int x, y, z;
};

static thread_local Dim3 gridDim, blockDim, blockIdx, threadIdx;

static inline unsigned int atomicAdd(unsigned int *at, unsigned int value) {
    unsigned int old = *at;
    *at = old + value;
    return old;
}

// Turns an address that a kernel was given into one that this CPU can use, or null.
using Translate = void *(*)(unsigned long long address);

enum LaunchStatus { LAUNCHED = 0, NO_SUCH_KERNEL = 1, WRONG_PARAMETERS = 2, BAD_ADDRESS = 3 };

// Reads a kernel's arguments from the buffer that cuLaunchKernel takes: each at its own alignment.
class Arguments {
  public:
    Arguments(const void *buffer, std::size_t bytes, Translate translate)
        : buffer_(static_cast<const char *>(buffer)), bytes_(bytes), translate_(translate) {}

    template <typename T> T next() {
        at_ = (at_ + alignof(T) - 1) / alignof(T) * alignof(T);
        T value{};
        if (at_ + sizeof(T) <= bytes_) {
            std::memcpy(&value, buffer_ + at_, sizeof(T));
        }
        at_ += sizeof(T);
        if constexpr (std::is_pointer_v<T>) {
            void *address = translate_((unsigned long long)value);
            bad_address_ |= address == nullptr;
            return static_cast<T>(address);
        } else {
            return value;
        }
    }

    LaunchStatus status() const {
        return at_ != bytes_ ? WRONG_PARAMETERS : bad_address_ ? BAD_ADDRESS : LAUNCHED;
    }

  private:
    const char *buffer_;
    std::size_t bytes_;
    Translate translate_;
    std::size_t at_ = 0;
    bool bad_address_ = false;
};

template <typename... A>
LaunchStatus launch_on_cpu(
    void (*kernel)(A...), Dim3 grid, Dim3 block, const void *buffer, std::size_t bytes,
    Translate translate) {
    Arguments arguments(buffer, bytes, translate);
    std::tuple<A...> values{arguments.next<A>()...};
    if (arguments.status() != LAUNCHED) {
        return arguments.status();
    }
    gridDim = grid;
    blockDim = block;
    for (blockIdx.z = 0; blockIdx.z < grid.z; ++blockIdx.z)
        for (blockIdx.y = 0; blockIdx.y < grid.y; ++blockIdx.y)
            for (blockIdx.x = 0; blockIdx.x < grid.x; ++blockIdx.x)
                for (threadIdx.z = 0; threadIdx.z < block.z; ++threadIdx.z)
                    for (threadIdx.y = 0; threadIdx.y < block.y; ++threadIdx.y)
                        for (threadIdx.x = 0; threadIdx.x < block.x; ++threadIdx.x)
                            std::apply(kernel, values);
    return LAUNCHED;
}
