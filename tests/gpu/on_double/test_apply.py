"""A new model through TensorRT: its engine is built into its slot, and it takes over on the GPU."""

from __future__ import annotations

import shutil
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from contract.built_here import SEALED_BY
from contract.bundle import Bundle
from contract.errors import EngineMismatchError
from contract.fingerprint import read_fingerprint
from edge_runtime.config import load_daemon_config
from edge_runtime.model_trust import trust_of
from edge_runtime.pipeline import Pipeline
from edge_runtime.slots.apply import apply_bundle
from edge_runtime.slots.opener import SlotOpener
from edge_runtime.slots.store import SlotStore
from tests.signing import put_public_key, sign

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """\
[model]
bundle = "models"
backend = "tensorrt"
precision = "fp32"

[trust]
keys = ["tests.pub"]

[update]
slower_limit = 100

[[camera]]
name = "north"
source = "sim:seed=3&width=96&height=64&fps=20"
"""


@pytest.fixture
def device(tmp_path: Path, bundle: Bundle):
    """The path of a device's configuration; tiny.gasedge and second.gasedge stand beside it."""
    for name in ("tiny", "second"):
        copy = shutil.copytree(bundle.path, tmp_path / f"{name}.gasedge")
        Bundle.open(copy).updated({}, model_id=name)
        sign(copy)
    put_public_key(tmp_path)
    (tmp_path / "daemon.toml").write_text(CONFIG)
    return tmp_path / "daemon.toml"


class Silent:
    """The plant's end of the pipeline; remembers which models were told."""

    def __init__(self) -> None:
        self.models: list[str] = []

    def publish(self, snapshot) -> None:
        self.models.append(snapshot.values["Model/Id"])

    def show(self, *_: object) -> None:
        """Look at no picture."""


def wait_until(condition) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_engines_are_built_into_their_slots_and_one_takes_over_from_the_other(
    device, double, monkeypatch
):
    monkeypatch.setenv("STATE_DIRECTORY", str(device.parent / "home of who types"))
    config = load_daemon_config(device)
    store = SlotStore(config.model.bundle)
    for name in ("tiny", "second"):
        source = device.with_name(f"{name}.gasedge")
        assert apply_bundle(config, device, source, shadow_s=0).outcome == "next start"
        slots = store.read()
        engine = store.folder / slots.active / slots.running.engine
        assert read_fingerprint(engine).model_id == name
    monkeypatch.setenv("STATE_DIRECTORY", str(device.parent / "state of the service"))
    store.seal_here()  # as the daemon does
    opener = SlotOpener(store, config.update, partial(trust_of, config))
    plant, stop, returned = Silent(), threading.Event(), []
    with opener:
        pipeline = Pipeline(config, plant, open_model=opener)
        thread = threading.Thread(target=lambda: returned.append(pipeline.run(stop)))
        thread.start()
        try:
            wait_until(lambda: pipeline.standing.segmented_s is not None)
            assert plant.models[-1] == "second"
            before = opener.opened(config.model, store.read().other)
            assert pipeline.take_over(before, wait_s=30)
            wait_until(lambda: pipeline.standing.segmented_s is not None)
            wait_until(lambda: plant.models[-1] == "tiny")
        finally:
            stop.set()
            thread.join()
    assert returned == [0]
    changes = sum(a != b for a, b in zip(plant.models, plant.models[1:], strict=False))
    assert changes <= 2  # none, second, tiny


def test_engine_of_a_restored_backup_is_built_anew_on_the_new_box(device, double, monkeypatch):
    monkeypatch.setenv("STATE_DIRECTORY", "")  # what apply sets ends with the test
    config = load_daemon_config(device)
    store = SlotStore(config.model.bundle)
    apply_bundle(config, device, device.with_name("tiny.gasedge"), shadow_s=0)
    engine = store.folder / "slot-a" / store.read().running.engine
    secret = store.folder / "seal" / SEALED_BY
    old, brought = secret.read_bytes(), read_fingerprint(engine)
    secret.unlink()  # no backup holds it
    with SlotOpener(store, config.update, partial(trust_of, config)) as opener:
        with pytest.raises(EngineMismatchError, match="was not built by this user on this device"):
            opener(config.model)
        until = time.monotonic() + 120
        while opener._opener._rebuild.is_running:
            assert time.monotonic() < until
            time.sleep(0.2)
        opener(config.model).close()
    assert secret.read_bytes() != old
    assert read_fingerprint(engine).seal != brought.seal
