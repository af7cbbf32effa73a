// Streams that only write work down, events, host functions, and graphs that replay a capture.
#include "double.h"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <set>
#include <thread>

struct Item {
    Work work;
    bool calls_host;
};

struct CUgraph_st {
    std::vector<Item> items;
};

struct CUgraphExec_st {
    std::vector<Item> items;
};

struct CUstream_st {
    bool blocking = true;  // waits for, and is waited for by, the default stream
    std::deque<Item> items;
    std::unique_ptr<CUgraph_st> capture;
    bool capture_spoilt = false;
    bool asked = false;
    std::thread::id runner;  // who takes work off it, while the host is called too
};

struct CUevent_st {
    CUstream stream = nullptr;
    bool recorded = false;
    bool happened = false;
    std::chrono::steady_clock::time_point at;
};

namespace {

CUstream_st default_stream;
std::set<CUstream> streams;
std::condition_variable_any stream_left;

CUstream real(CUstream stream) { return stream ? stream : &default_stream; }
bool exists(CUstream stream) { return stream == &default_stream || streams.count(stream); }

// Takes the stream's work off one by one; the lock is not held while the host is called. What one
// thread has begun another one waits for: a stream's work is done in its order, whoever waits.
CUresult run(CUstream stream) {
    std::unique_lock<std::recursive_mutex> lock(driver_lock());
    const auto self = std::this_thread::get_id();
    stream_left.wait(lock, [&] {
        return !exists(stream) || stream->runner == std::thread::id() || stream->runner == self;
    });
    if (!exists(stream)) {
        return CUDA_SUCCESS;
    }
    const auto before = stream->runner;
    stream->runner = self;
    while (!stream->items.empty()) {
        Item item = std::move(stream->items.front());
        stream->items.pop_front();
        if (stuck()) {
            continue;
        }
        if (item.calls_host) {
            lock.unlock();
            item.work();
            lock.lock();
        } else {
            item.work();
        }
        if (!borders_are_whole()) {
            stick(CUDA_ERROR_ILLEGAL_ADDRESS);
        }
    }
    stream->runner = before;
    stream_left.notify_all();
    return stuck();
}

}  // namespace

CUresult enqueue(CUstream given, Work work, bool calls_host) {
    CUstream stream = real(given);
    if (!exists(stream)) {
        return CUDA_ERROR_INVALID_HANDLE;
    }
    if (stream->capture) {
        stream->capture->items.push_back({std::move(work), calls_host});
    } else {
        stream->items.push_back({std::move(work), calls_host});
    }
    return CUDA_SUCCESS;
}

bool is_capturing(CUstream stream) { return real(stream)->capture != nullptr; }

bool anything_is_capturing() {
    for (CUstream stream : streams) {
        if (stream->capture) {
            return true;
        }
    }
    return false;
}

CUresult refuse_capture(CUstream given) {
    for (CUstream stream : streams) {
        if (stream->capture && (given == nullptr || given == stream)) {
            stream->capture_spoilt = true;
        }
    }
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}

CUresult drain(CUstream given) {
    CUstream stream = real(given);
    std::vector<CUstream> first;
    {
        std::lock_guard<std::recursive_mutex> lock(driver_lock());
        if (!exists(stream)) {
            return CUDA_ERROR_INVALID_HANDLE;
        }
        if (stream == &default_stream) {
            for (CUstream each : streams) {
                if (each->blocking && !each->capture) {
                    first.push_back(each);
                }
            }
        } else if (stream->blocking) {
            first.push_back(&default_stream);
        }
    }
    for (CUstream each : first) {
        if (CUresult error = run(each)) {
            return error;
        }
    }
    return run(stream);
}

CUresult drain_all() {
    std::vector<CUstream> all;
    {
        std::lock_guard<std::recursive_mutex> lock(driver_lock());
        all.assign(streams.begin(), streams.end());
    }
    for (CUstream each : all) {
        if (CUresult error = run(each)) {
            return error;
        }
    }
    return run(&default_stream);
}

EXPORT CUresult cuStreamCreate(CUstream *stream, unsigned int flags) {
    ENTER(CONTEXT);
    *stream = new CUstream_st;
    (*stream)->blocking = !(flags & CU_STREAM_NON_BLOCKING);
    streams.insert(*stream);
    object_made("stream");
    return CUDA_SUCCESS;
}

EXPORT CUresult cuStreamDestroy(CUstream stream) {
    ENTER(CONTEXT);
    if (!streams.count(stream)) {
        return CUDA_ERROR_INVALID_HANDLE;
    }
    lock.unlock();
    CUresult pending = run(stream);
    lock.lock();
    streams.erase(stream);
    delete stream;
    object_gone("stream");
    return pending;
}

EXPORT CUresult cuStreamSynchronize(CUstream stream) {
    ENTER(CONTEXT);
    if (is_capturing(stream)) {
        return refuse_capture(stream);
    }
    lock.unlock();
    return drain(stream);
}

// Not ready when first asked, so that nobody can take asking for waiting; then the work happens.
EXPORT CUresult cuStreamQuery(CUstream given) {
    ENTER(CONTEXT);
    CUstream stream = real(given);
    if (stream->items.empty()) {
        return CUDA_SUCCESS;
    }
    stream->asked = !stream->asked;
    if (stream->asked) {
        return CUDA_ERROR_NOT_READY;
    }
    lock.unlock();
    return drain(given);
}

EXPORT CUresult cuLaunchHostFunc(CUstream stream, CUhostFn function, void *data) {
    ENTER(CONTEXT);
    return enqueue(
        stream,
        [=] {
            function(data);
            return CUDA_SUCCESS;
        },
        true);
}

EXPORT CUresult cuEventCreate(CUevent *event, unsigned int) {
    ENTER(CONTEXT);
    *event = new CUevent_st;
    object_made("event");
    return CUDA_SUCCESS;
}

EXPORT CUresult cuEventDestroy(CUevent event) {
    ENTER(CONTEXT);
    delete event;
    object_gone("event");
    return CUDA_SUCCESS;
}

EXPORT CUresult cuEventRecord(CUevent event, CUstream stream) {
    ENTER(CONTEXT);
    event->stream = stream;
    event->recorded = true;
    event->happened = false;
    return enqueue(stream, [=] {
        event->happened = true;
        event->at = std::chrono::steady_clock::now();
        return CUDA_SUCCESS;
    });
}

EXPORT CUresult cuEventSynchronize(CUevent event) {
    ENTER(CONTEXT);
    if (!event->recorded || event->happened) {
        return CUDA_SUCCESS;
    }
    lock.unlock();
    return drain(event->stream);
}

EXPORT CUresult cuEventElapsedTime(float *milliseconds, CUevent start, CUevent end) {
    ENTER(CONTEXT);
    if (!start->happened || !end->happened) {
        return CUDA_ERROR_NOT_READY;
    }
    *milliseconds = std::chrono::duration<float, std::milli>(end->at - start->at).count();
    return CUDA_SUCCESS;
}

EXPORT CUresult cuStreamBeginCapture(CUstream stream, CUstreamCaptureMode) {
    ENTER(CONTEXT);
    if (!streams.count(stream) || stream->capture) {
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;  // the default stream cannot be captured
    }
    stream->capture = std::make_unique<CUgraph_st>();
    stream->capture_spoilt = false;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuStreamIsCapturing(CUstream stream, CUstreamCaptureStatus *status) {
    ENTER(CONTEXT);
    *status = is_capturing(stream) ? CU_STREAM_CAPTURE_STATUS_ACTIVE
                                   : CU_STREAM_CAPTURE_STATUS_NONE;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph) {
    ENTER(CONTEXT);
    *graph = nullptr;
    if (!streams.count(stream) || !stream->capture) {
        return CUDA_ERROR_ILLEGAL_STATE;
    }
    std::unique_ptr<CUgraph_st> captured = std::move(stream->capture);
    if (stream->capture_spoilt) {
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    }
    *graph = captured.release();
    object_made("graph");
    return CUDA_SUCCESS;
}

EXPORT CUresult cuGraphInstantiateWithFlags(
    CUgraphExec *executable, CUgraph graph, unsigned long long) {
    ENTER(CONTEXT);
    *executable = new CUgraphExec_st{graph->items};
    object_made("executable graph");
    return CUDA_SUCCESS;
}

EXPORT CUresult cuGraphLaunch(CUgraphExec executable, CUstream stream) {
    ENTER(CONTEXT);
    for (const Item &item : executable->items) {
        if (CUresult error = enqueue(stream, item.work, item.calls_host)) {
            return error;
        }
    }
    return CUDA_SUCCESS;
}

EXPORT CUresult cuGraphDestroy(CUgraph graph) {
    ENTER(CONTEXT);
    delete graph;
    object_gone("graph");
    return CUDA_SUCCESS;
}

EXPORT CUresult cuGraphExecDestroy(CUgraphExec executable) {
    ENTER(CONTEXT);
    delete executable;
    object_gone("executable graph");
    return CUDA_SUCCESS;
}
