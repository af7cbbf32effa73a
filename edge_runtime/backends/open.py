"""Open a bundle's network on what this machine has; the choice is logged, never made in silence."""

from __future__ import annotations

import importlib.util
import logging
from functools import partial
from typing import TYPE_CHECKING

from contract.bundle import graph_name, opset17_graph_name
from contract.errors import ConfigError
from contract.fingerprint import read_fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from contract.bundle import Bundle
    from contract.geometry import InputGeometry
    from contract.precision import Precision
    from contract.segmenter import Segmenter
    from edge_runtime.backends.tensorrt_gpu import TensorRTSegmenter

__all__ = ["BACKENDS", "open_backend", "open_engine", "open_graph"]

BACKENDS = ("auto", "openvino", "onnxruntime", "tensorrt")

_log = logging.getLogger(__name__)


def open_backend(
    bundle: Bundle,
    precision: Precision,
    *,
    backend: str = "auto",
    engine: Path | None = None,
    threads: int | None = None,
    streams: int = 1,
) -> Segmenter:
    """Open the network of `bundle` at `precision`.

    Args:
        bundle: the opened bundle.
        precision: what was asked for; another one is never taken in its place.
        backend: one of `BACKENDS`. "auto" is TensorRT where an engine is given, else OpenVINO, else
            ONNX Runtime.
        engine: the TensorRT engine that was built on this machine from the bundle's graph.
        threads: CPU threads, None for all.
        streams: runs at a time where the backend can; see `OpenVINOSegmenter`.

    Raises:
        ConfigError: when the backend is not known, or TensorRT is asked for without an engine.
        MissingPackageError: when the backend's package is not installed.
        EngineError: when the backend cannot load the graph or engine.
        IntegrityError: when the graph or engine is not what the manifest or fingerprint says.
    """
    if backend not in BACKENDS:
        raise ConfigError(f"backend {backend!r} is not known; take one of {', '.join(BACKENDS)}")
    chosen = _automatic(engine) if backend == "auto" else backend
    if engine is not None and chosen != "tensorrt":
        raise ConfigError(f"{engine}: an engine runs on backend tensorrt, not on {chosen}")
    segmenter = _opened(bundle, precision, chosen, engine, threads, streams)
    why = " (chosen by auto)" if backend == "auto" else ""
    _log.info("%s runs on %s%s", bundle.manifest.model_id, segmenter.name, why)
    return segmenter


def open_engine(bundle: Bundle, precision: Precision, engine: Path) -> TensorRTSegmenter:
    """Open the TensorRT engine that was built on this machine from the bundle's graph.

    Raises:
        ConfigError: when the bundle holds no such precision.
        EngineMismatchError: when it was built for something else, naming each field.
        EngineError: when there is no GPU or TensorRT cannot load it.
        IntegrityError: when it is not what its fingerprint says.
    """
    from edge_runtime.backends.tensorrt_gpu import TensorRTSegmenter

    bundle.graph(precision)  # refuses a precision that the bundle does not hold
    files = bundle.manifest.files
    fingerprint = read_fingerprint(engine)
    expected: dict[str, str | None] = {
        "model_id": bundle.manifest.model_id,
        "precision": precision.value,
        "graph_sha256": files[graph_name(precision)].sha256,
    }
    read = str(fingerprint.builder.get("graph"))  # an older TensorRT reads an older opset's file
    if read in files:
        expected["built_graph_sha256"] = files[read].sha256
    return TensorRTSegmenter(
        engine,
        geometry=bundle.manifest.input,
        expected=expected,
        graph=lambda: bundle.read(read),
    )


def open_graph(
    graph: bytes | Callable[[], bytes],
    geometry: InputGeometry,
    precision: Precision,
    *,
    backend: str = "auto",
    threads: int | None = None,
    streams: int = 1,
) -> Segmenter:
    """Open a deploy graph that need not stand in a bundle yet on a CPU backend.

    Args:
        graph: bytes of the ONNX file, checked by the caller, or what gives them.
        geometry: the network's input.
        precision: what the graph was made for.
        backend: "auto", "openvino" or "onnxruntime".
        threads: CPU threads, None for all.
        streams: see `open_backend`.

    Raises:
        MissingPackageError: when the backend's package is not installed.
        EngineError: when the backend cannot load the graph.
    """
    given = graph if callable(graph) else partial(bytes, graph)
    if (_automatic(None) if backend == "auto" else backend) == "openvino":
        from edge_runtime.backends.openvino_cpu import OpenVINOSegmenter

        return OpenVINOSegmenter(
            given, geometry=geometry, precision=precision, threads=threads, streams=streams
        )
    from edge_runtime.backends.onnxruntime_cpu import OnnxRuntimeSegmenter

    return OnnxRuntimeSegmenter(given(), geometry=geometry, precision=precision, threads=threads)


def _automatic(engine: Path | None) -> str:
    if engine is not None:
        return "tensorrt"
    return "openvino" if importlib.util.find_spec("openvino") else "onnxruntime"


def _opened(
    bundle: Bundle,
    precision: Precision,
    backend: str,
    engine: Path | None,
    threads: int | None,
    streams: int,
) -> Segmenter:
    geometry = bundle.manifest.input
    if backend == "tensorrt":
        if engine is None:
            raise ConfigError(
                "backend tensorrt needs an engine built on this machine: "
                f"gasedge build-engine {bundle.path} --{precision}"
            )
        return open_engine(bundle, precision, engine)
    bundle.graph(precision)  # refuses a precision that the bundle does not hold
    old = opset17_graph_name(precision)
    # A CPU computes in f32 whatever the type around the pairs, and older OpenVINO reads FP32 only.
    name = old if old in bundle.manifest.files else graph_name(precision)
    return open_graph(
        partial(bundle.read, name),
        geometry,
        precision,
        backend=backend,
        threads=threads,
        streams=streams,
    )
