"""Copied or mapped: the same masks either way, and the way is the one measured on this device."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from contract.errors import EngineError
from contract.machine import this_machine
from edge_runtime.cuda.exchange import Transfer
from edge_runtime.cuda.transfer_choice import keep_transfer, kept_transfer, measure_transfers
from gasedge.transfer_probe import probe_transfer
from tests.bundles import tiny_pictures

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def measured():
    return measure_transfers(rounds=3)


def kept_as(measured, folder: Path, **changes):
    fields = json.loads(measured.model_dump_json()) | changes
    keep_transfer(folder, type(measured).model_validate_json(json.dumps(fields)))


@pytest.fixture
def engine_folder(engines):
    """The folder of the engine that `opened` opens; no choice is left in it."""
    folder = engines().parent
    yield folder
    (folder / "transfer.json").unlink(missing_ok=True)


def test_mapped_gives_the_masks_of_copied_bit_for_bit(opened):
    copied, mapped = (opened(transfer=each) for each in Transfer)
    for picture in (*tiny_pictures(2, size=96), *tiny_pictures(2, size=40), *tiny_pictures(3)):
        wanted, found = copied.segment_picture(picture), mapped.segment_picture(picture)
        assert np.array_equal(found.mask, wanted.mask)
        assert np.array_equal(found.score, wanted.score)
        assert mapped.last_summaries == copied.last_summaries
    frames = tiny_pictures(3)
    assert np.array_equal(mapped.segment(frames).mask, copied.segment(frames).mask)
    assert mapped.graph_counts.eager == 0


def test_mapped_copies_no_picture_and_no_answer(opened, double):
    mapped = opened(transfer=Transfer.MAPPED)
    for _ in range(4):
        mapped.segment_picture(tiny_pictures(1, size=80)[0])
    assert double.calls("cuMemcpyHtoDAsync_v2") == double.calls("cuMemcpyDtoHAsync_v2") == 0


def test_memory_of_both_ways_is_given_back_while_pictures_grow(opened, double):
    for transfer in Transfer:
        segmenter = opened(transfer=transfer)
        for size in (32, 64, 128):
            for _ in range(3):
                segmenter.segment_picture(tiny_pictures(1, size=size)[0])
        segmenter.close()
        assert double.left() == {}


@pytest.mark.parametrize(("integrated", "expected"), [("1", "mapped"), ("0", "copied")])
def test_unmeasured_device_is_taken_by_its_kind_and_that_is_told(
    opened, monkeypatch, integrated, expected
):
    monkeypatch.setenv("CUDA_DOUBLE_INTEGRATED", integrated)
    figures = opened().figures()
    assert (figures["transfer"], figures["transfer_by"]) == (expected, "default")


@pytest.mark.parametrize("faster", list(Transfer))
def test_measured_way_is_taken(opened, measured, engine_folder, faster):
    kept_as(measured, engine_folder, median_ms={each: 1.0 + (each != faster) for each in Transfer})
    figures = opened().figures()
    assert (figures["transfer"], figures["transfer_by"]) == (faster.value, "measured")


def test_measurement_of_another_device_or_a_broken_one_is_not_used_and_that_is_logged(
    opened, measured, engine_folder, caplog
):
    slow_here = {Transfer.COPIED: 2.0, Transfer.MAPPED: 1.0}
    kept_as(measured, engine_folder, median_ms=slow_here, device=measured.device | {"driver": "1"})
    assert opened().figures()["transfer_by"] == "default"
    (engine_folder / "transfer.json").write_text("{")
    assert opened().figures()["transfer"] == "copied"
    assert "another device" in caplog.text
    assert "is not used" in caplog.text


def test_gpu_that_cannot_read_host_memory_is_given_copies_or_says_so(opened, monkeypatch, double):
    monkeypatch.setenv("CUDA_DOUBLE_MAPS", "0")
    monkeypatch.setenv("CUDA_DOUBLE_INTEGRATED", "1")
    assert opened().figures()["transfer"] == "copied"
    with pytest.raises(EngineError, match="cannot read host memory"):
        opened(transfer=Transfer.MAPPED)
    measured = measure_transfers(rounds=1)
    assert list(measured.median_ms) == [Transfer.COPIED]
    assert "the only way here" in str(measured)


def test_measuring_times_both_ways_and_leaves_nothing_on_the_gpu(double, tmp_path):
    measured = measure_transfers(rounds=2)
    assert min(measured.median_ms.values()) > 0
    assert set(measured.median_ms) == set(Transfer)
    assert double.left() == {}
    assert kept_transfer(tmp_path) is None
    keep_transfer(tmp_path, measured)
    assert kept_transfer(tmp_path) == measured


def ran(*words):
    done = subprocess.run(
        [sys.executable, "-m", "gasedge", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_doctor_measures_both_ways_prints_and_keeps_them(double, tmp_path):
    code, out, err = ran("doctor", "--json", "--engines", tmp_path)
    assert code == 0, err
    said = json.loads(out)["transfer"]
    assert set(said["median_ms"]) == {"copied", "mapped"}
    assert kept_transfer(tmp_path).faster.value == said["faster"]


def test_gpu_that_fails_while_it_is_measured_ends_only_the_measuring(double, monkeypatch):
    monkeypatch.setenv("CUDA_DOUBLE_FAULT", "cuGraphLaunch 700 3")
    said = probe_transfer(this_machine())
    assert "ended with 4" in said
    assert "new process" in said


def test_engine_that_is_built_here_is_measured_for_once(double, bundle, tmp_path):
    words = ("-q", "build-engine", bundle.path, "--fp32", "--out", tmp_path)
    assert ran(*words)[0] == 0
    first = kept_transfer(tmp_path)
    assert first is not None
    assert ran(*words)[0] == 0
    assert kept_transfer(tmp_path) == first  # with the same times: it was not measured again
