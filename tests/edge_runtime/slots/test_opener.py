"""At each start: what is opened, what is counted before, and when the other slot is taken."""

from __future__ import annotations

import errno
import os
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import pytest

from contract.errors import (
    ConfigError,
    EngineError,
    EngineMismatchError,
    InputError,
    IntegrityError,
    MissingPackageError,
)
from contract.precision import Precision
from contract.tags import HealthCode
from edge_runtime.camera_state import ModelFacts
from edge_runtime.config import ModelConfig, load_daemon_config
from edge_runtime.model import RunningModel
from edge_runtime.model_trust import trust_of
from edge_runtime.slots import opener as opener_module
from edge_runtime.slots.config import UpdateConfig
from edge_runtime.slots.opener import SlotOpener
from edge_runtime.slots.store import SlotStore
from tests.edge_runtime.slots.conftest import AT, facts_of, partial_of
from tests.signing import TRUST_TABLE, put_public_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from contract.bundle import Bundle
    from contract.signing import Trust

UPDATE = UpdateConfig(crash_starts=2)


class Nothing:
    """In the place of a network; counts how often one is closed."""

    closed: ClassVar[list[int]] = []

    def close(self) -> None:
        """Hold nothing."""
        self.closed.append(1)


@pytest.fixture
def closed() -> list[int]:
    """One entry for each network that was closed."""
    Nothing.closed.clear()
    return Nothing.closed


@pytest.fixture
def failing(monkeypatch) -> dict[str, Exception]:
    """By model id, what opening raises; bundles are verified for real, networks are none."""
    faults: dict[str, Exception] = {}

    def opened(config: ModelConfig, bundle: Bundle) -> RunningModel:
        bundle.verify()
        if bundle.manifest.model_id in faults:
            raise faults[bundle.manifest.model_id]
        facts = ModelFacts(bundle.manifest.model_id, "", "", HealthCode(0))
        return RunningModel(Nothing(), facts, config, bundle)

    monkeypatch.setattr("edge_runtime.model.open_model", opened)
    monkeypatch.setattr(opener_module, "open_model", opened)
    return faults


@pytest.fixture
def trust(store: SlotStore) -> Callable[[], Trust]:
    """What the daemon on these slots lets run."""
    put_public_key(store.folder.parent)
    path = store.folder.parent / "daemon.toml"
    camera = '[[camera]]\nname = "north"\nsource = "sim:seed=1"\n'
    path.write_text(f'[model]\nbundle = "{store.folder.name}"\n{TRUST_TABLE}{camera}')
    return partial(trust_of, load_daemon_config(path))


@pytest.fixture
def started(store: SlotStore, trust, failing):
    """Start the frames process once more; what it opens."""
    del failing
    config = ModelConfig(bundle=store.folder, precision=Precision.FP16)

    def start() -> str:
        with SlotOpener(store, UPDATE, trust) as opener:
            return opener(config).facts.model_id

    return start


def on_trial(store: SlotStore, bundles) -> None:
    slot = store.take_in(partial_of(store, bundles[2]), facts_of(bundles[2]), who="eva")
    store.change(lambda s: s.switched(slot, who="eva", at=AT))


def test_a_start_on_trial_is_counted_before_the_model_is_touched(store, bundles, started, failing):
    on_trial(store, bundles)
    failing["three"] = MissingPackageError("whatever stops this start")
    with pytest.raises(MissingPackageError):
        started()
    assert store.read().starts == 1
    del failing["three"]
    assert started() == "three"
    assert started() == "two"  # the third start, two having not lasted
    assert started() == "two"


def test_a_model_on_trial_that_fails_its_test_gives_way_at_once(store, bundles, started, failing):
    on_trial(store, bundles)
    failing["three"] = EngineError("known-answer test not passed")
    assert started() == "two"
    slots = store.read()
    assert slots.running.model_id == "two"
    assert slots.slots["slot-a"].reason == "known-answer test not passed"


@pytest.mark.parametrize(
    "fault",
    [
        ConfigError("no such precision"),
        MissingPackageError("no openvino"),
        EngineMismatchError("built for another driver"),
    ],
)
def test_what_is_no_fault_of_the_model_sends_nothing_back(store, bundles, started, failing, fault):
    on_trial(store, bundles)
    failing["three"] = fault
    with pytest.raises(type(fault)):
        started()
    assert store.read().running.model_id == "three"


def test_where_both_fail_the_first_fault_is_told_and_nothing_changes(
    store, bundles, started, failing
):
    on_trial(store, bundles)
    failing["three"], failing["two"] = EngineError("three fails"), EngineError("two fails")
    with pytest.raises(EngineError, match="three fails"):
        started()
    assert store.read().running.model_id == "three"


def test_damage_to_a_confirmed_model_gives_way_to_the_other(store, started):
    (store.bundle("slot-b") / "model.fp16.onnx").write_bytes(b"tw?")
    assert started() == "one"
    assert "SHA-256" in store.read().slots["slot-b"].reason


def test_a_way_back_that_is_too_old_is_none(store, started):
    store.change(lambda s: s.model_copy(update={"least_counter": 1}))
    (store.bundle("slot-b") / "model.fp16.onnx").write_bytes(b"tw?")
    with pytest.raises(IntegrityError, match="SHA-256"):
        started()
    assert store.read().running.model_id == "two"


def test_another_signed_bundle_in_the_slot_is_not_what_was_applied(store, bundles, started):
    import shutil

    place = store.bundle("slot-b")
    shutil.rmtree(place)
    shutil.copytree(bundles[2].path, place)
    assert started() == "one"
    assert "that was applied" in store.read().slots["slot-b"].reason


def test_a_disk_that_is_full_keeps_no_model_from_running(
    store, bundles, started, failing, monkeypatch
):
    on_trial(store, bundles)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert started() == "three"
    failing["three"] = EngineError("known-answer test not passed")
    assert started() == "two"


@pytest.mark.parametrize("code", [errno.EIO, errno.EROFS])
def test_a_disk_that_refuses_keeps_no_model_from_running(
    store, bundles, started, monkeypatch, code
):
    on_trial(store, bundles)

    def refuses(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuses)
    assert started() == "three"


def test_a_way_back_that_cannot_be_taken_leaves_no_model_open(
    store, bundles, started, failing, closed
):
    on_trial(store, bundles)
    failing["three"] = EngineError("known-answer test not passed")
    change, calls = store.change, []

    def broken(rule):
        calls.append(rule)
        if len(calls) > 1:  # the first counts the start
            raise IntegrityError("slots.json: is broken")
        return change(rule)

    store.change = broken
    with pytest.raises(IntegrityError, match="is broken"):
        started()
    assert closed == [1]


def test_before_the_first_model_it_says_how_to_bring_one(tmp_path: Path, trust):
    (tmp_path / "empty").mkdir()
    store = SlotStore(tmp_path / "empty")
    with (
        SlotOpener(store, UPDATE, trust) as opener,
        pytest.raises(InputError, match="gasedge apply"),
    ):
        opener(ModelConfig(bundle=store.folder))


def test_a_process_that_was_asked_to_end_was_no_bad_start(store, bundles, trust, failing):
    on_trial(store, bundles)
    assert not failing
    config = ModelConfig(bundle=store.folder, precision=Precision.FP16)
    for _ in range(5):
        with SlotOpener(store, UPDATE, trust) as opener:
            assert opener(config).facts.model_id == "three"
            opener.ended()
    with SlotOpener(store, UPDATE, trust) as opener:
        opener(config)
        opener.failed("of the one before", bundles[1].manifest_sha256)
        assert store.read().running.model_id == "three"
        opener.failed("the CUDA context is lost", bundles[2].manifest_sha256)
    assert store.read().running.model_id == "two"
    assert store.read().slots["slot-a"].reason == "the CUDA context is lost"
