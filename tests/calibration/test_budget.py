"""The accuracy budget is held by the layers that need FP16 and by no others, or refused."""

from __future__ import annotations

import pytest

from calibration.budget import hold_budget
from calibration.card import card_of
from contract.bundle import Bundle
from contract.precision import Precision
from edge_runtime.backends.known_answer import known_answer_test
from edge_runtime.backends.open import open_backend
from gasedge.cli import main
from tests.calibration.fragile import make_fragile

LAYERS = [f"l{at}" for at in range(12)]


def _costs(**each):
    """What is lost while given layers are in INT8."""

    def drop_of(fp16):
        return sum(cost for name, cost in each.items() if name not in fp16)

    return drop_of


def test_layers_that_were_ranked_wrongly_go_back_to_int8():
    # l0 and l2 look harmful and are not: only l1 and l3 cost anything
    drop_of = _costs(l1=0.02, l3=0.01)
    held = hold_budget(drop_of, LAYERS, 0.005, at_first=0.03)
    assert held.holds
    assert held.fp16 == {"l1", "l3"}
    assert held.iou_drop == 0
    assert held.in_int8 == pytest.approx({"l1": 0.02, "l3": 0.01})
    assert held.attempts[0].iou_drop == 0.03
    for attempt in held.attempts[1:]:
        assert attempt.iou_drop == pytest.approx(drop_of(attempt.fp16))


def test_a_small_cost_within_the_budget_stays_in_int8():
    held = hold_budget(_costs(l0=0.02, l1=0.004), LAYERS, 0.005, at_first=0.024)
    assert held.fp16 == {"l0"}
    assert held.iou_drop == pytest.approx(0.004)


def test_no_more_than_half_of_the_layers_are_spared():
    held = hold_budget(lambda _: 0.1, LAYERS, 0.005, at_first=0.2)
    assert not held.holds
    assert held.fp16 == set(LAYERS[:6])


@pytest.fixture
def arguments(taught, pictures):
    frames, control = str(pictures.frames), str(pictures.control)
    return ["calibrate", str(taught), "--frames", frames, "--control", control]


def test_a_network_with_one_wild_layer_keeps_that_layer_in_fp16(taught, arguments, capsys):
    wild = make_fragile(taught, 4)
    assert main([*arguments, "--max-iou-drop", "0.01"]) == 0
    assert f"in FP16 for that: {wild}" in capsys.readouterr().out
    bundle = Bundle.open(taught)
    card = card_of(bundle)
    assert [layer.name for layer in card.kept_for_budget] == [wild]
    (kept,) = card.kept_for_budget
    assert kept.precision is Precision.FP16
    assert card.iou_drop <= 0.01 < card.attempts[0].iou_drop
    assert kept.iou_drop_in_int8 == card.attempts[0].iou_drop
    damage = {layer.name: layer.damage for layer in card.layers if layer.damage is not None}
    assert len(damage) == card.convolutions_int8 + 1
    assert max(damage, key=damage.get) == wild
    gas = {p: scores.classes["gas-smoke"].iou for p, scores in card.scores.items()}
    assert gas[Precision.FP32] - gas[Precision.INT8] == pytest.approx(card.iou_drop)
    for backend in ("openvino", "onnxruntime"):
        with open_backend(bundle, Precision.INT8, backend=backend) as segmenter:
            assert known_answer_test(segmenter, bundle, Precision.INT8).passed
    (recorded,) = [each for each in bundle.manifest.scores if each.precision is Precision.INT8]
    assert "FP16 layers chosen on it" in recorded.disjoint_from


def test_auto_tries_every_method_and_keeps_the_best(taught, arguments):
    assert main([*arguments, "--method", "auto", "--max-iou-drop", "0.1"]) == 0
    card = card_of(Bundle.open(taught))
    tried = {each.method: each.iou_drop for each in card.methods}
    assert set(tried) == {"max", "percentile", "mse", "entropy"}
    assert tried[card.method] == min(tried.values())
    assert len(set(tried.values())) > 1
