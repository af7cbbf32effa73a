// A CUDA driver for tests: it keeps the real driver's rules and does the work on the CPU.
//
//  - A device address is a number that nothing on the host can follow; memory starts poisoned, its
//    borders are watched, and an address is never given twice.
//  - What is asynchronous is only written down; it happens when somebody synchronises.
//  - A context is current in a thread or not; without one, calls fail.
//  - A graph replays what was captured, with the addresses captured, on what they hold then.
//  - A fault of work on the device sticks: from then on every call fails.
//
// Functions named cudaDouble.. are the tests' own: faults to inject, and what was left behind.
#pragma once

#include <cuda.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#define EXPORT extern "C" __attribute__((visibility("default")))

// First line of every driver function. Gives back an injected or sticky error, and, unless `where`
// says so, CUDA_ERROR_INVALID_CONTEXT in a thread without a context.
enum class Needs { NOTHING, INIT, CONTEXT };
CUresult enter(const char *function, Needs needs);
#define ENTER(needs) \
    std::unique_lock<std::recursive_mutex> lock(driver_lock()); \
    if (CUresult entered = enter(__func__, Needs::needs)) \
        return entered

std::recursive_mutex &driver_lock();
CUresult stick(CUresult error);  // makes `error` sticky and returns it
CUresult stuck();                // the sticky error or CUDA_SUCCESS
void object_made(const char *kind);
void object_gone(const char *kind);
int device_capability();  // 87 for 8.7
bool maps_host_memory();

// memory.cpp
char *host_view(CUdeviceptr address, size_t bytes);  // null unless all of it is live memory
bool borders_are_whole();                            // false: something was written out of bounds
bool is_pinned(const void *host, size_t bytes);
void free_all_memory();

// stream.cpp
using Work = std::function<CUresult()>;
CUresult enqueue(CUstream stream, Work work, bool calls_host = false);
bool is_capturing(CUstream stream);
CUresult refuse_capture(CUstream stream);  // spoils the capture, as a forbidden call does
bool anything_is_capturing();
CUresult drain(CUstream stream);
CUresult drain_all();
