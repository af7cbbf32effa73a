"""Run the builder code against the real bindings of one TensorRT generation; a script.

Enums, flags and the logger are the generation's own. Objects that only the libraries could make
are stood in for by `Checked`, which knows every member of the real class and refuses any other,
refuses to set what is not a property, and refuses a call that no signature of the method allows.
"""

from __future__ import annotations

import json
import re
import sys

import tensorrt_bindings.tensorrt as trt  # type: ignore[import-not-found]

from contract.errors import EngineError
from contract.precision import Precision
from contract.tensorrt_api import TensorRT
from export.builder_settings import BuildRequest, settings_for_fingerprint
from export.engine_from_onnx import engine_from_onnx, statistics_of_engine

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
            return self._results.get(name)

        return call

    def __setattr__(self, name, value) -> None:
        assert isinstance(getattr(self._real, name), property), f"{name} cannot be set"
        self._calls.append([name, str(value)])


class Generation:
    """The real module, but for the classes that need the libraries."""

    def __init__(self, *, parses: bool = True, builds: bool = True) -> None:
        self.calls = calls = []
        tensor = Checked(trt.ITensor, calls, name="frames", shape=(-1, 64, 64, 3))
        network = Checked(trt.INetworkDefinition, calls, get_input=tensor)
        error = Checked(
            trt.ParserError, calls, desc="bad", node=3, node_name="n", node_operator="Op"
        )
        inspector = Checked(trt.EngineInspector, calls, get_engine_information=json.dumps(REPORT))
        engine = Checked(trt.ICudaEngine, calls, create_engine_inspector=inspector)
        made = {
            "Builder": Checked(
                trt.Builder,
                calls,
                create_network=network,
                create_builder_config=Checked(
                    trt.IBuilderConfig, calls, add_optimization_profile=0
                ),
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


def main(version: str) -> None:
    """Go every way through the builder code and print what was called on the way."""
    flags = trt.NetworkDefinitionCreationFlag.__members__
    said = {name: int(flag) for name, flag in flags.items()}
    for precision in Precision:
        for batch in (1, 4):
            generation = Generation()
            tensorrt = TensorRT(generation, "tensorrt", version)
            request = BuildRequest(precision, batch, 64)
            assert engine_from_onnx(tensorrt, b"graph", request) == b"plan"
            said[f"{precision} {batch}"] = {
                "calls": generation.calls,
                "settings": settings_for_fingerprint(tensorrt, request),
            }
    counted = statistics_of_engine(TensorRT(Generation(), "tensorrt", version), b"plan")
    assert counted.int8 == 1
    for trouble in ({"parses": False}, {"builds": False}):
        try:
            broken = TensorRT(Generation(**trouble), "tensorrt", version)
            engine_from_onnx(broken, b"graph", BuildRequest(Precision.FP16))
        except EngineError as error:
            said[next(iter(trouble))] = str(error)
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    main(sys.argv[1])
