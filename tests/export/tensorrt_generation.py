"""Run the builder code against the real bindings of one TensorRT generation; a script.

Enums, flags and the logger are the generation's own. Objects that only the libraries could make
are stood in for by `Checked`, which knows every member of the real class and refuses any other,
refuses to set what is not a property, and refuses a call that no signature of the method allows.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import tensorrt_bindings.tensorrt as trt  # type: ignore[import-not-found]

from contract.errors import EngineError, GasedgeError
from contract.precision import Precision
from contract.tensorrt_api import TensorRT
from export.build_progress import progress_monitor
from export.builder_settings import BuildRequest, SizeRange, settings_for_fingerprint
from export.engine_from_onnx import engine_from_onnx, reading_of_engine
from export.implicit_int8 import implicit_calibrator
from export.plan_statistics import statistics_of

REPORT = {"Layers": [{"ParameterType": "Convolution", "Weights": {"Type": "Int8"}}]}


def allowed_counts(method) -> list[range]:
    """How many arguments the signatures in a pybind docstring take, without self."""
    counts = []
    for line in (method.__doc__ or "").splitlines():
        found = re.match(r"^(?:\d+\. )?\w+\((.*)\) -> ", line)
        if found is None:
            continue
        arguments = re.sub(r"\[[^\[\]]*\]", "", re.sub(r"\[[^\[\]]*\]", "", found.group(1)))
        each = [a for a in re.sub(r"<[^>]*>", "", arguments).split(", ") if a]
        if each and each[0].startswith("self"):
            each = each[1:]
        optional = sum("=" in a for a in each)
        counts.append(range(len(each) - optional, len(each) + 1))
    return counts


class Checked:
    """An object of class `real` with the given values and method results."""

    def __init__(self, real, calls, **results) -> None:
        self.__dict__.update(_real=real, _calls=calls, _results=results)

    def __getattr__(self, name):
        member = getattr(self._real, name)  # AttributeError when this generation has none
        if isinstance(member, property):
            return self._results[name]

        def call(*arguments):
            counts = allowed_counts(member)
            assert any(len(arguments) in count for count in counts), (name, arguments, counts)
            self._calls.append([name, *(str(a) for a in arguments if not isinstance(a, bytes))])
            result = self._results.get(name)
            return result(*arguments) if callable(result) else result

        return call

    def __setattr__(self, name, value) -> None:
        assert isinstance(getattr(self._real, name), property), f"{name} cannot be set"
        self._calls.append([name, str(value)])


class Generation:
    """The real module, but for the classes that need the libraries."""

    def __init__(self, *, parses: bool = True, builds: bool = True, dlas: int = 1) -> None:
        self.calls = calls = []
        tensor = Checked(
            trt.ITensor, calls, name="frames", shape=(-1, 64, 64, 3), dtype=trt.DataType.HALF
        )
        layer = {"get_input": tensor, "get_output": tensor, "num_inputs": 2}
        layers = [
            Checked(trt.ILayer, calls, type=trt.LayerType.DEQUANTIZE, name="dq", **layer),
            Checked(trt.ILayer, calls, type=trt.LayerType.CONVOLUTION, name="conv", **layer),
        ]
        network = Checked(
            trt.INetworkDefinition,
            calls,
            get_input=tensor,
            num_layers=2,
            get_layer=layers.__getitem__,
        )
        memory = [b"timings"]
        cache = Checked(trt.ITimingCache, calls, serialize=memory[0])
        error = Checked(
            trt.ParserError, calls, desc="bad", node=3, node_name="n", node_operator="Op"
        )
        inspector = Checked(trt.EngineInspector, calls, get_engine_information=json.dumps(REPORT))
        engine = Checked(
            trt.ICudaEngine,
            calls,
            create_engine_inspector=inspector,
            device_memory_size=4096,
            device_memory_size_v2=4096,
        )
        made = {
            "Builder": Checked(
                trt.Builder,
                calls,
                create_network=network,
                create_builder_config=Checked(
                    trt.IBuilderConfig,
                    calls,
                    add_optimization_profile=0,
                    create_timing_cache=cache,
                    get_timing_cache=cache,
                    set_timing_cache=True,
                    builder_optimization_level=3,
                ),
                num_DLA_cores=dlas,
                create_optimization_profile=Checked(trt.IOptimizationProfile, calls),
                build_serialized_network=b"plan" if builds else None,
            ),
            "OnnxParser": Checked(
                trt.OnnxParser, calls, parse=parses, num_errors=1, get_error=error
            ),
            "Runtime": Checked(trt.Runtime, calls, deserialize_cuda_engine=engine),
        }
        self.made = made

    def __getattr__(self, name):
        if name not in self.made:
            return getattr(trt, name)
        real, double = getattr(trt, name), self.made[name]

        def construct(*arguments):
            counts = allowed_counts(real.__init__)
            assert any(len(arguments) in count for count in counts), (name, arguments, counts)
            assert isinstance(arguments[-1], trt.ILogger)
            return double

        return construct


def build(version: str, request: BuildRequest, **options):
    """Calls, settings and convolutions asked for of one build."""
    generation = Generation()
    found = TensorRT(generation, "tensorrt", version)
    built = engine_from_onnx(found, b"graph", request, **options)
    assert built.engine == b"plan"
    return {
        "calls": generation.calls,
        "settings": settings_for_fingerprint(found, request),
        "asked": [each.as_dict() for each in built.asked],
    }


def progress_told() -> list[str] | None:
    """What the generation's own monitor class makes of a build, None where it has none."""
    reading, writing = os.pipe()
    monitor = progress_monitor(trt, writing)
    if monitor is None:
        return None
    monitor.phase_start("Building engine", None, 3)
    monitor.phase_start("Timing tactics", "Building engine", 9)
    assert monitor.step_complete("Timing tactics", 4)
    assert monitor.step_complete("Building engine", 0)
    monitor.phase_finish("Timing tactics")
    monitor.phase_finish("Building engine")
    os.close(writing)
    return os.read(reading, 1 << 16).decode().splitlines()


def refusal(version: str, request: BuildRequest, **trouble) -> str:
    """The error of a build that cannot be."""
    broken = TensorRT(Generation(**trouble), "tensorrt", version)
    try:
        engine_from_onnx(broken, b"graph", request)
    except GasedgeError as error:
        return str(error)
    return ""


def own_int8(version: str, *, accepts: bool = True, feed=None, **sources) -> dict:
    """A build in which TensorRT quantises by itself, asking its calibrator as TensorRT does."""
    generation = Generation()
    found = TensorRT(generation, "tensorrt", version)
    request = BuildRequest(Precision.INT8, 4, 64, ranges="cache" if "cache" in sources else "own")
    heard = {"batches": []}
    try:
        calibrator = implicit_calibrator(found, (1, 64, 64, 3), feed=feed, **sources)

        def quantise(*_):
            assert isinstance(calibrator, trt.IInt8EntropyCalibrator2)
            heard["size"] = calibrator.get_batch_size()
            heard["read"] = (calibrator.read_calibration_cache() or b"").decode()
            if not (heard["read"] and accepts):
                while (batch := calibrator.get_batch(["frames"])) is not None:
                    heard["batches"].append(batch)
                calibrator.write_calibration_cache(memoryview(b"TRT's own"))
            return b"plan"

        generation.made["Builder"]._results["build_serialized_network"] = quantise
        engine_from_onnx(found, b"graph", request, calibrator=calibrator)
    except GasedgeError as error:
        return {"error": str(error)}
    settings = settings_for_fingerprint(found, request)
    return heard | {
        "calls": generation.calls,
        "settings": settings,
        "written": calibrator.written.decode(),
    }


class Feed:
    """Stands in for the GPU's memory: an address for each frame."""

    def __init__(self, *, breaks_at: int = -1) -> None:
        self.count, self.breaks_at = 0, breaks_at

    def put(self, frame):
        """An address."""
        if self.count == self.breaks_at:
            raise EngineError("copying to the GPU: out of memory")
        self.count += 1
        return 4096 + frame


def main(version: str) -> None:
    """Go every way through the builder code and print what was called on the way."""
    flags = trt.NetworkDefinitionCreationFlag.__members__
    said = {name: int(flag) for name, flag in flags.items()}
    for precision in Precision:
        for batch in (1, 4):
            said[f"{precision} {batch}"] = build(version, BuildRequest(precision, batch, 64))
    half = BuildRequest(Precision.FP16)
    said["sizes"] = build(version, replace(half, sizes=SizeRange(32, 64, 96, 128), level=1))
    said["dla"] = build(version, replace(half, dla=True))
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        said["timings"] = [build(version, half, timing_cache=cache) for _ in range(2)]
        assert cache.read_bytes() == b"timings"
    said["progress"] = progress_told()
    found = TensorRT(Generation(), "tensorrt", version)
    reading = reading_of_engine(found, b"plan")
    assert statistics_of(reading).int8 == 1
    assert reading.scratch_bytes == 4096
    said["parses"] = refusal(version, half, parses=False)
    said["builds"] = refusal(version, half, builds=False)
    said["no dla"] = refusal(version, replace(half, dla=True), dlas=0)
    said["int8 dla"] = refusal(version, BuildRequest(Precision.INT8, dla=True))
    stripped = replace(half, strip=True)
    said["strip"] = refusal(version, stripped) or build(version, stripped)
    said["own"] = own_int8(version, frames=iter([0, 1, 2]), feed=Feed())
    said["own broken"] = own_int8(version, frames=iter([0, 1, 2]), feed=Feed(breaks_at=1))
    cache = b"TRT-8502-EntropyCalibration2\nrelu: 3c009976\n"
    said["cache"] = own_int8(version, cache=cache)
    said["cache refused"] = own_int8(version, cache=cache, accepts=False)
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    main(sys.argv[1])
