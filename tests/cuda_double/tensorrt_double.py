"""A TensorRT for tests, on the CUDA double: its engine is the deploy graph, ONNX Runtime runs it.

It keeps TensorRT's rules towards its caller: every call needs a current CUDA context; a run only
goes onto the stream and happens when somebody waits; it reads and writes the device addresses that
were set, nothing on the host; shapes and addresses must be set before; a run must have been made
once before one is captured; what it holds is given back only with a context current.

TensorRT's own names are kept, so that the code under test cannot tell the difference.
"""

from __future__ import annotations

import ctypes
import functools
import json
from enum import Enum, IntEnum

import numpy as np

__version__ = "10.3.0"
__all__ = [
    "Builder", "BuilderFlag", "DataType", "ExecutionContextAllocationStrategy", "ILogger",
    "IProfiler", "LayerInformationFormat", "LayerType", "MemoryPoolType",
    "NetworkDefinitionCreationFlag", "OnnxParser",
    "OnnxParserRefitter", "ProfilingVerbosity", "Refitter", "Runtime",
]  # fmt: skip

_MAGIC = b"engine of the TensorRT double\n"
_SCRATCH_BYTES = 1 << 16
_ILLEGAL_ADDRESS = 700
_HOST_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class DataType(Enum):
    FLOAT = 0
    UINT8 = 1
    HALF = 2
    INT8 = 3


class ExecutionContextAllocationStrategy(Enum):
    STATIC = 0
    USER_MANAGED = 2


class LayerType(Enum):
    OTHER = 0
    CONVOLUTION = 1
    DECONVOLUTION = 2
    DEQUANTIZE = 3


class NetworkDefinitionCreationFlag(IntEnum):
    STRONGLY_TYPED = 1


class BuilderFlag(Enum):
    TF32 = 0
    STRIP_PLAN = 1


class MemoryPoolType(Enum):
    WORKSPACE = 0


class ProfilingVerbosity(Enum):
    DETAILED = 0


class LayerInformationFormat(Enum):
    JSON = 0


class _Severity(IntEnum):
    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2
    INFO = 3
    VERBOSE = 4


class ILogger:
    Severity = _Severity
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = _Severity

    def log(self, severity, message):
        raise NotImplementedError


class IProfiler:
    def report_layer_time(self, layer_name, ms):
        raise NotImplementedError


def _cuda():
    library = ctypes.CDLL("libcuda.so.1")
    library.cudaDoubleHostView.restype = ctypes.c_void_p
    library.cudaDoubleHostView.argtypes = [ctypes.c_ulonglong, ctypes.c_size_t]
    return library


def _has_context(logger) -> bool:
    current = ctypes.c_void_p()
    _cuda().cuCtxGetCurrent(ctypes.byref(current))
    if current.value is None:
        logger.log(ILogger.ERROR, "Cuda Runtime (invalid device context)")
    return current.value is not None


def _on_device(address, shape):
    """The device's bytes as an array; a run that touches anything else breaks the context."""
    size = int(np.prod(shape))
    cuda = _cuda()
    view = cuda.cudaDoubleHostView(address, size)
    if not view:
        cuda.cudaDoubleStick(_ILLEGAL_ADDRESS)
        return None
    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(view)).reshape(shape)


class _ExecutionContext:
    def __init__(self, engine):
        self._engine = engine
        self._addresses = {}
        self._shape = None
        self._scratch = None
        self._ran = False
        self._changes = [0]  # a graph that was captured before the last of them runs on nothing
        self.profiler = None
        self._kept = []  # the stream and graphs hold these by address
        self._own = ctypes.c_ulonglong()  # a context takes some memory beside what it is given
        if _cuda().cuMemAlloc_v2(ctypes.byref(self._own), 1):
            raise MemoryError

    def __del__(self):
        _cuda().cuMemFree_v2(self._own)  # waits; does nothing without a current context

    def set_device_memory(self, address, size):
        if size < self._engine.device_memory_size_v2:
            self._refuse(f"{size} bytes of device memory are too few")
            return
        self._scratch = address
        self._changed()

    def set_tensor_address(self, name, address):
        if name not in self._engine.tensors:
            return self._refuse(f"no tensor is named {name}")
        self._addresses[name] = address
        self._changed()
        return True

    def set_input_shape(self, name, shape):
        low, _, high = self._engine.get_tensor_profile_shape(name, 0)
        if name != "frames" or not all(
            a <= b <= c for a, b, c in zip(low, shape, high, strict=True)
        ):
            return self._refuse(f"{name} cannot be of shape {shape}")
        self._shape = tuple(shape)
        self._changed()
        return True

    def execute_async_v3(self, stream_handle):
        logger = self._engine.logger
        if not _has_context(logger):
            return False
        if self._scratch is None or _on_device(self._scratch, (_SCRATCH_BYTES,)) is None:
            return self._refuse("no device memory was given")
        if self._shape is None or set(self._addresses) != set(self._engine.tensors):
            return self._refuse("a shape or an address was not set")
        capturing = ctypes.c_int()
        _cuda().cuStreamIsCapturing(ctypes.c_void_p(stream_handle), ctypes.byref(capturing))
        if capturing.value and not self._ran:
            return self._refuse("enqueueV3 must be called once before it is captured")
        self._ran = True
        run = self._run_of(dict(self._addresses), self._shape)
        self._kept.append(run)
        return _cuda().cuLaunchHostFunc(ctypes.c_void_p(stream_handle), run, None) == 0

    def _changed(self):
        self._changes[0] += 1
        self._ran = False

    def _run_of(self, addresses, shape):
        # not this context itself: it must go when its owner lets go of it, not in some later sweep
        session, profiler = _session(self._engine.graph), self.profiler
        timed = self._engine.convolutions if profiler else ()
        changes, known = self._changes, self._changes[0]

        @_HOST_FUNCTION
        def run(_):
            frames = _on_device(addresses["frames"], shape)
            mask = _on_device(addresses["mask"], shape[:3])
            score = _on_device(addresses["score"], shape[:3])
            gone = frames is None or mask is None or score is None
            if not gone and known == changes[0]:
                mask[:], score[:] = session.run(["mask", "score"], {"frames": frames})
                for name in timed:
                    profiler.report_layer_time(name, 0.25)

        return run

    def _refuse(self, why):
        self._engine.logger.log(ILogger.ERROR, why)
        return False


class _Engine:
    tensors = ("frames", "mask", "score")

    def __init__(self, plan, logger):
        head, self.graph = plan[len(_MAGIC) :].split(b"\n", 1)
        self._profile = json.loads(head)  # least and most frames
        self.logger = logger
        self._model = _model(self.graph)
        self.device_memory_size_v2 = _SCRATCH_BYTES

    @property
    def convolutions(self):
        return [node.name for node in self._model.graph.node if node.op_type == "Conv"]

    @property
    def num_io_tensors(self):
        return len(self.tensors)

    def get_tensor_name(self, index):
        return self.tensors[index]

    def get_tensor_dtype(self, name):
        values = [*self._model.graph.input, *self._model.graph.output]
        kind = next(v.type.tensor_type.elem_type for v in values if v.name == name)
        return DataType.UINT8 if kind == 2 else DataType.FLOAT

    def get_tensor_shape(self, name):
        low, high = self._profile
        batch = low if low == high else -1
        return (batch, *self._size()) if name == "frames" else (batch, *self._size()[:2])

    def get_tensor_profile_shape(self, name, _profile):
        low, high = self._profile
        return [(n, *self._size()) for n in (low, high, high)]

    def create_execution_context(self, strategy=ExecutionContextAllocationStrategy.STATIC):
        if not _has_context(self.logger):
            return None
        if strategy is not ExecutionContextAllocationStrategy.USER_MANAGED:
            self.logger.log(ILogger.ERROR, "this double has no device memory of its own")
            return None
        try:
            return _ExecutionContext(self)
        except MemoryError:
            self.logger.log(ILogger.ERROR, "Requested amount of GPU memory could not be allocated")
            return None

    def create_engine_inspector(self):
        return _Inspector(self._model)

    def _size(self):
        shape = self._model.graph.input[0].type.tensor_type.shape
        return tuple(d.dim_value for d in shape.dim)[1:]


class _Inspector:
    """Names the type of each convolution's weights, as this double runs them."""

    def __init__(self, model):
        self._model = model

    def get_engine_information(self, _format):
        graph = self._model.graph
        made_by = {name: node for node in graph.node for name in node.output}
        types = {i.name: {1: "Float", 10: "Half", 3: "Int8"}[i.data_type]
                 for i in graph.initializer if i.data_type in (1, 3, 10)}  # fmt: skip

        def type_of(name):
            while name not in types and name in made_by:
                name = made_by[name].input[0]
            return types.get(name, "Unknown")

        layers = [
            {
                "Name": node.name,
                "LayerType": "Convolution",
                "Weights": {"Type": type_of(node.input[1])},
            }
            for node in graph.node
            if node.op_type == "Conv"
        ]
        return json.dumps({"Layers": layers})


class Runtime:
    def __init__(self, logger):
        self._logger = logger
        self.engine_host_code_allowed = False

    def deserialize_cuda_engine(self, plan):
        if not plan.startswith(_MAGIC):
            self._logger.log(ILogger.ERROR, "Serialization assertion failed: magic tag")
            return None
        return _Engine(bytes(plan), self._logger)


class _Input:
    def __init__(self):
        self.name, self.shape = "frames", (-1, 0, 0, 0)


class _Tensor:
    def __init__(self, name, value):
        self.name = name
        kind, shape = (0, ()) if value is None else value
        self.dtype = {1: DataType.FLOAT, 2: DataType.UINT8, 3: DataType.INT8,
                      10: DataType.HALF}.get(kind)  # fmt: skip
        self.shape = shape


class _Layer:
    """A node as the parser makes a layer of it: constants are no inputs."""

    kinds = {"Conv": LayerType.CONVOLUTION, "DequantizeLinear": LayerType.DEQUANTIZE}  # noqa: RUF012

    def __init__(self, node, values, constants):
        self.name, self.type = node.name, self.kinds.get(node.op_type, LayerType.OTHER)
        self._inputs = [_Tensor(n, values.get(n)) for n in node.input if n not in constants]
        self._outputs = [_Tensor(n, values.get(n)) for n in node.output]
        self.num_inputs = len(self._inputs)

    def get_input(self, index):
        return self._inputs[index]

    def get_output(self, index):
        return self._outputs[index]


class _Network:
    def __init__(self):
        self.graph, self.frames = b"", _Input()
        self._layers = []

    def take(self, model):
        import onnx

        graph = onnx.shape_inference.infer_shapes(model).graph
        values = {
            v.name: (v.type.tensor_type.elem_type,
                     [d.dim_value or -1 for d in v.type.tensor_type.shape.dim])
            for v in (*graph.value_info, *graph.input, *graph.output)
        }  # fmt: skip
        constants = {i.name for i in graph.initializer}
        self._layers = [_Layer(node, values, constants) for node in graph.node]

    @property
    def num_layers(self):
        return len(self._layers)

    def get_layer(self, index):
        return self._layers[index]

    def get_input(self, _index):
        return self.frames


class _TimingCache:
    def __init__(self, data):
        self._data = data

    def serialize(self):
        return self._data + b"timed "


class _Config:
    def __init__(self):
        self.profiling_verbosity = None
        self.builder_optimization_level = 3
        self.profile = None
        self.strips = False
        self._cache = None

    def set_flag(self, flag):
        self.strips = self.strips or flag is BuilderFlag.STRIP_PLAN

    def create_timing_cache(self, data):
        return _TimingCache(data)

    def set_timing_cache(self, cache, _ignore_mismatch):
        self._cache = cache
        return True

    def get_timing_cache(self):
        return self._cache

    def set_memory_pool_limit(self, pool, size):
        """Takes what it is told, and has no use for it."""

    def clear_flag(self, flag):
        """Takes what it is told, and has no use for it."""

    def add_optimization_profile(self, profile):
        self.profile = profile
        return 0


class _Profile:
    def set_shape(self, _name, low, _best, high):
        self.batch = (low[0], high[0])


class Builder:
    num_DLA_cores = 0  # noqa: N815 - its own name

    def __init__(self, logger):
        self._logger = logger

    def create_network(self, _flags):
        return _Network()

    def create_builder_config(self):
        return _Config()

    def create_optimization_profile(self):
        return _Profile()

    def build_serialized_network(self, network, config):
        fixed = network.frames.shape[0]
        batch = config.profile.batch if config.profile else (fixed, fixed)
        graph = _without_weights(network.graph) if config.strips else network.graph
        return _MAGIC + json.dumps(batch).encode() + b"\n" + graph


class OnnxParser:
    num_errors = 0

    def __init__(self, network, logger):
        self._network, self._logger = network, logger

    def parse(self, graph):
        shape = _model(graph).graph.input[0].type.tensor_type.shape
        self._network.graph = graph
        self._network.take(_model(graph))
        self._network.frames.shape = (-1, *(d.dim_value for d in shape.dim[1:]))
        return True


class Refitter:
    def __init__(self, engine, logger):
        self.engine, self.logger, self.graph = engine, logger, None

    def refit_cuda_engine(self):
        self.engine.graph = self.graph
        return True


class OnnxParserRefitter:
    """Takes the weights of the very graph that was built, and of no other."""

    def __init__(self, refitter, _logger):
        self._refitter = refitter

    def refit_from_bytes(self, graph):
        if _without_weights(graph) != self._refitter.engine.graph:
            self._refitter.logger.log(ILogger.ERROR, "the weights do not fit this engine")
            return False
        self._refitter.graph = graph
        return True


def _without_weights(graph):
    """The graph with every weight of more than one value set to zero."""
    import onnx

    model = onnx.load_model_from_string(graph)
    for weights in model.graph.initializer:
        if weights.dims and len(weights.raw_data) > 64:
            weights.raw_data = bytes(len(weights.raw_data))
    return model.SerializeToString()


@functools.cache
def _model(graph):
    import onnx

    return onnx.load_model_from_string(graph)


@functools.cache
def _session(graph):
    """Runs the graph as it is written, one node after the other."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
