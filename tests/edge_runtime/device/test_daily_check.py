"""The daily check with a real model; its hour comes by virtual time."""

from __future__ import annotations

import datetime as dt
import json
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from contract.camera_health import HealthCode
from contract.precision import Precision
from edge_runtime.config import ModelConfig
from edge_runtime.device.daily_check import CheckResult, DailyCheck
from edge_runtime.device.schedule import Schedule
from edge_runtime.view_watch import LearnedView, SeenView
from tests.edge_runtime.conftest import wait_for
from tests.signing import open_signed

pytest.importorskip("openvino", reason="pip install 'gasedge[cpu]'")

HOUR = 3600.0
NIGHT = dt.datetime(2026, 3, 2, 3, 30, tzinfo=dt.timezone.utc).timestamp()
SCHEDULE = Schedule("03:30", dt.timezone.utc)


def view(seed: int) -> LearnedView:
    random = np.random.default_rng(seed)
    return LearnedView(
        random.normal(0, 10, (48, 64)).astype(np.float32),
        random.normal(100, 20, (6, 8)).astype(np.float32),
    )


def seen(of: LearnedView | None, faults=0, *, watched: bool = True):
    return lambda _now_s: SeenView(HealthCode(faults), of, watched=watched)


@pytest.fixture
def model(tiny_bundle):
    with open_signed(
        ModelConfig(bundle=tiny_bundle, precision=Precision.FP32, backend="openvino", threads=1)
    ) as opened:
        yield opened


@pytest.fixture
def night(monkeypatch):
    """The wall clock of what is written down."""
    monkeypatch.setattr(time, "time", lambda: NIGHT)


def begun(folder, begun_s=NIGHT - HOUR, ended_s=None, results=None):
    said = {"begun_s": begun_s, "ended_s": ended_s, "results": results or {}}
    (folder / "daily-check.json").write_text(json.dumps(said))


def answered(check, model, mask_of):
    """Do as the worker does, until the check has ended."""
    wait_for(lambda: not check._busy)
    check.tick(0.0, NIGHT + 60, model)  # cameras have their time after a start
    assert not check._busy
    check.tick(200.0, NIGHT + 60, model)

    def worked():
        question = check.question(model)
        if question is not None:
            check.answer(mask_of(question))
        return not check._busy

    wait_for(worked)


def right(model):
    return lambda frame: model.segmenter.segment(frame[None]).mask[0]


def test_nothing_is_asked_before_its_hour(tmp_path, model):
    begun(tmp_path)
    with DailyCheck(SCHEDULE, tmp_path, {"north": seen(view(1))}) as check:
        wait_for(lambda: not check._busy)
        for at_s in (0.0, 200.0):
            check.tick(at_s, NIGHT - 60, model)
        assert not check._busy
        assert check.question(model) is None
        assert check.values("north") == {}


def test_right_answers_pass_and_the_first_view_is_the_reference(tmp_path, model, night):
    begun(tmp_path)
    with DailyCheck(SCHEDULE, tmp_path, {"north": seen(view(1))}) as check:
        answered(check, model, right(model))
        assert check.values("north") == {
            "Verify/LastTime": round(NIGHT * 1e9),
            "Verify/LastResult": 0,
        }
        assert check.warnings("north", NIGHT + 60) == HealthCode(0)
        assert not check.fault_of(model)
    assert (tmp_path / "views" / "north.npz").is_file()
    with DailyCheck(SCHEDULE, tmp_path, {"north": seen(view(1))}) as again:
        wait_for(lambda: not again._busy)
        assert again.values("north")["Verify/LastTime"] == round(NIGHT * 1e9)


def test_a_blank_mask_fails_and_the_network_must_not_be_believed(tmp_path, model, night):
    begun(tmp_path)
    with DailyCheck(SCHEDULE, tmp_path, {"north": seen(view(1))}) as check:
        answered(check, model, lambda frame: np.zeros(frame.shape[:2], np.uint8))
        assert check.values("north")["Verify/LastResult"] == 1
        assert HealthCode.CHECK_FAILED in check.warnings("north", NIGHT + 60)
        assert "daily known-answer test was not passed" in check.fault_of(model)
        assert not check.fault_of(replace(model))  # which took over meanwhile


def test_a_disk_that_hangs_lets_no_wrong_network_be_believed(tmp_path, model, night, monkeypatch):
    begun(tmp_path)
    answers = threading.Event()
    with DailyCheck(SCHEDULE, tmp_path, {"north": seen(view(1))}) as check:
        wait_for(lambda: not check._busy)
        monkeypatch.setattr(check, "_keep", lambda: answers.wait(30))
        for at_s in (0.0, 200.0):
            check.tick(at_s, NIGHT + 60, model)

        def told():
            question = check.question(model)
            if question is not None:
                check.answer(np.zeros(question.shape[:2], np.uint8))
            return check.fault_of(model)

        try:
            wait_for(told)
            assert check._busy
        finally:
            answers.set()


def test_after_wrong_answers_the_next_process_asks_at_once(tmp_path, model, night):
    """Else a network that only its way in the daemon makes wrong would be believed for a day."""
    begun(tmp_path, ended_s=NIGHT - 60, results={"north": 1})
    with DailyCheck(SCHEDULE, tmp_path, {"north": seen(view(1))}) as check:
        wait_for(lambda: not check._busy)
        check.tick(0.0, NIGHT, model)
        wait_for(lambda: check.question(model) is not None)


@pytest.mark.parametrize(
    ("shows", "result"),
    [
        (seen(view(1)), 0),
        (seen(view(2)), 2),
        (seen(view(1), HealthCode.MOVED), 2),
        (seen(view(1), HealthCode.DARK), 3),
        (seen(None), 3),
        (seen(view(2), watched=False), 0),
    ],
)
def test_a_camera_is_held_against_its_reference_view(tmp_path, model, night, shows, result):
    begun(tmp_path)
    with DailyCheck(SCHEDULE, tmp_path, {"north": seen(view(1))}) as check:
        answered(check, model, right(model))
    begun(tmp_path, ended_s=NIGHT - 24 * HOUR)
    with DailyCheck(SCHEDULE, tmp_path, {"north": shows}) as check:
        answered(check, model, right(model))
        assert check.values("north")["Verify/LastResult"] == result
        failed = HealthCode.CHECK_FAILED in check.warnings("north", NIGHT + 60)
        assert failed == (result != 0)


def test_a_reference_that_cannot_be_read_is_not_replaced_by_the_present_view(
    tmp_path, model, night, caplog
):
    begun(tmp_path)
    reference = tmp_path / "views" / "north.npz"
    with DailyCheck(SCHEDULE, tmp_path, {"north": seen(view(1))}) as check:
        answered(check, model, right(model))
    whole = reference.read_bytes()
    for damaged in (b"", b"no view", whole[: len(whole) // 2], np.lib.format.magic(1, 0)):
        reference.write_bytes(damaged)
        begun(tmp_path, ended_s=NIGHT - 24 * HOUR)
        with DailyCheck(SCHEDULE, tmp_path, {"north": seen(view(2))}) as check:
            answered(check, model, right(model))
            assert check.values("north")["Verify/LastResult"] == CheckResult.NO_VIEW
            assert HealthCode.CHECK_FAILED in check.warnings("north", NIGHT + 60)
        assert reference.read_bytes() == damaged
        assert "put the file aside" in caplog.text


def test_a_check_that_is_not_made_is_overdue_after_25_hours(tmp_path):
    begun(tmp_path, ended_s=NIGHT, results={"north": 0})
    with DailyCheck(SCHEDULE, tmp_path, {"north": seen(None)}) as check:
        wait_for(lambda: not check._busy)
        check.tick(0.0, NIGHT + 24 * HOUR, None)  # there is no network to ask
        assert check.warnings("north", NIGHT + 24.9 * HOUR) == HealthCode(0)
        assert check.warnings("north", NIGHT + 25.1 * HOUR) == HealthCode.CHECK_OVERDUE


@pytest.mark.parametrize("text", ["", "[]", '{"begun_s": "x"}', '{"ended_s": 1, "results": 5}'])
def test_results_that_cannot_be_read_are_told_and_checks_begin_anew(tmp_path, text, caplog):
    (tmp_path / "daily-check.json").write_text(text)
    with DailyCheck(SCHEDULE, tmp_path, {"north": seen(None)}) as check:
        wait_for(lambda: not check._busy)
        assert check.values("north") == {}
    assert "daily-check.json: cannot be read" in caplog.text
