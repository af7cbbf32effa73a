"""What OpenVINO is given in another form says the same, to the last class."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("openvino")

from contract.packages import need
from edge_runtime.backends.openvino_head import rewrite_head

HEIGHT, WIDTH, INSIDE = 10, 12, 5


def model(classes=3, *, side=3, pads=1, stride=1, topk=1, quantised=False):
    """Values (N, 5, 10, 12) -> logits and the class of each pixel."""
    ops = need("openvino.opset13", extra="cpu")
    random = np.random.default_rng(3)
    weights = random.integers(-3, 4, (classes, INSIDE, side, side)).astype(np.float32)
    kept = ops.constant(weights)
    if quantised:
        kept = ops.multiply(kept, ops.constant(np.float32(2)))
    values = ops.parameter([-1, INSIDE, HEIGHT, WIDTH], np.float32)
    head = ops.convolution(values, kept, [stride] * 2, [pads] * 2, [pads] * 2, [1, 1])
    top = ops.topk(head, ops.constant(np.int64(topk)), 1, "max", "value", "i64", stable=True)
    index = ops.convert(top.output(1), "u8")
    return need("openvino", extra="cpu").Model([head, index], [values])


def answers(what, values):
    core = need("openvino", extra="cpu").Core()
    found = core.compile_model(what, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(values)
    return [np.array(each) for each in found.values()]


def kinds(what):
    return [node.get_type_name() for node in what.get_ordered_ops()]


@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("batch", [1, 2])
def test_logits_and_classes_stay_the_same_and_the_lowest_class_wins_a_tie(classes, batch):
    # whole numbers of a small range: sums are exact in any order, and many of them tie
    shape = (batch, INSIDE, HEIGHT, WIDTH)
    values = np.random.default_rng(1).integers(-1, 2, shape).astype(np.float32)
    plain, rewritten = model(classes), model(classes)
    assert rewrite_head(rewritten) == 2
    assert "TopK" not in kinds(rewritten)
    assert "DepthToSpace" in kinds(rewritten)
    (logits, index), (same, again) = answers(plain, values), answers(rewritten, values)
    assert (same == logits).all()
    assert (again == index).all()
    assert again[:, 0].tolist() == logits.argmax(1).tolist()  # numpy, too, takes the first
    ordered = np.sort(logits, axis=1)
    assert (ordered[:, -1] == ordered[:, -2]).any()  # there were ties


@pytest.mark.parametrize(
    ("what", "count"),
    [
        ({"classes": 1}, 1),
        ({"classes": 5}, 1),
        ({"side": 1, "pads": 0}, 1),
        ({"pads": 0}, 1),
        ({"stride": 2}, 1),
        ({"quantised": True}, 1),  # its weights are computed
        ({"topk": 2}, 1),
    ],
)
def test_what_it_does_not_know_it_leaves_alone(what, count):
    values = np.random.default_rng(1).normal(size=(1, INSIDE, HEIGHT, WIDTH)).astype(np.float32)
    rewritten = model(**what)
    assert rewrite_head(rewritten) == count
    for before, after in zip(
        answers(model(**what), values), answers(rewritten, values), strict=True
    ):
        assert np.abs(before.astype(float) - after).max() < 1e-4
