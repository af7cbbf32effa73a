"""Real models to be applied: a later one of the tiny one, one that lies and one that is blind."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from contract.bundle import Bundle, graph_name
from contract.precision import Precision
from tests.signing import sign

if TYPE_CHECKING:
    from pathlib import Path

PRECISION = Precision.FP32


def later(tiny: Path, name: str, *, counter: int = 1) -> Path:
    """The same network under another name, in a graph of other bytes."""
    onnx = pytest.importorskip("onnx")
    path = _copied(tiny, name)
    bundle = Bundle.open(path)
    graph = onnx.load_from_string(bundle.graph(PRECISION))
    graph.doc_string = name
    bundle.updated({graph_name(PRECISION): graph.SerializeToString()}, model_id=name)
    sign(path, counter=counter)
    return path


def lying(tiny: Path) -> Path:
    """Its golden masks are not what its network gives."""
    path = _copied(tiny, "lying")
    bundle = Bundle.open(path)
    bundle.updated(_masks(bundle, lambda mask: np.roll(mask, 20, axis=1)), model_id="lying")
    sign(path, counter=1)
    return path


def blind(tiny: Path) -> Path:
    """Its network sees background everywhere, and its golden masks say that this is right."""
    onnx = pytest.importorskip("onnx")
    path = _copied(tiny, "blind")
    bundle = Bundle.open(path)
    graph = onnx.load_from_string(bundle.graph(PRECISION))
    last = [node for node in graph.graph.node if node.op_type == "Conv"][-1]
    for name in last.input[1:]:
        (weights,) = [each for each in graph.graph.initializer if each.name == name]
        values = np.zeros_like(onnx.numpy_helper.to_array(weights))
        if values.ndim == 1:
            values[0] = 5  # the class of the background
        weights.CopyFrom(onnx.numpy_helper.from_array(values, name))
    files = _masks(bundle, np.zeros_like) | {graph_name(PRECISION): graph.SerializeToString()}
    bundle.updated(files, model_id="blind")
    sign(path, counter=1)
    return path


def _copied(tiny: Path, name: str) -> Path:
    path = tiny.with_name(f"{name}.gasedge")
    shutil.copytree(tiny, path)
    return path


def _masks(bundle: Bundle, changed) -> dict[str, bytes]:
    files = {}
    for entry in bundle.manifest.golden:
        name = entry.mask(PRECISION)
        golden = cv2.imdecode(np.frombuffer(bundle.read(name), np.uint8), cv2.IMREAD_UNCHANGED)
        files[name] = cv2.imencode(".png", changed(golden))[1].tobytes()
    return files
