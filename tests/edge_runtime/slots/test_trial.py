"""A trial that hangs, or takes its process down, comes to an end that is told."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from edge_runtime.slots.apply import _last_word


def trial(code: str, limit_s: float) -> tuple[dict, list[dict]]:
    heard: list[dict] = []
    command = [sys.executable, "-c", "import json, os, time\n" + code]
    return _last_word(command, limit_s, heard.append), heard


@pytest.mark.parametrize("code", ["time.sleep(600)", "os.close(1)\ntime.sleep(600)"])
def test_a_candidate_that_hangs_is_ended_and_refused(code):
    begun_s = time.monotonic()
    last, _ = trial(code, 1.0)
    assert last["failed"] == "its trial did not end within 1 s: it hangs"
    assert time.monotonic() - begun_s < 20


def test_what_hangs_after_its_report_is_waited_for_no_longer():
    code = 'print(json.dumps({"report": {"faults": []}}), flush=True)\ntime.sleep(600)'
    begun_s = time.monotonic()
    last, _ = trial(code, 300.0)
    assert last == {"report": {"faults": []}}
    assert time.monotonic() - begun_s < 20


def test_what_a_library_prints_between_is_no_word_of_the_trial():
    code = (
        'print("[INFO] loading")\nprint("[]")\nprint(json.dumps({"step": "one"}))\n'
        'print("3")\nprint(json.dumps({"failed": "it is blind"}))'
    )
    last, heard = trial(code, 60.0)
    assert last == {"failed": "it is blind"}
    assert [said for said in heard if said] == [{"step": "one"}]


def test_a_candidate_that_takes_its_process_down_says_so_by_its_code():
    last, _ = trial("os.abort()", 60.0)
    assert last["failed"] == "its trial ended with code -6: it takes a process down"


_NO_MASK = """
import sys
from types import SimpleNamespace
import numpy as np
from edge_runtime.slots import trial
trial._HUNG_S = 0.2
model = SimpleNamespace(start=lambda *_: None, facts=SimpleNamespace(model_id="numb"))
trial._mask(model, np.zeros((4, 4, 3), np.uint8))
"""


def test_a_model_that_gives_no_mask_ends_its_trial():
    done = subprocess.run([sys.executable, "-c", _NO_MASK], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == '{"failed": "numb gave no mask of a frame within 0.2 s"}\n'
