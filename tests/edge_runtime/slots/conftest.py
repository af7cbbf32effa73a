"""Small signed bundles that hold no model, and slots filled with them."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from contract.bundle import create_bundle, graph_name
from contract.geometry import InputGeometry
from contract.precision import Precision
from edge_runtime.slots.state import SlotFacts
from edge_runtime.slots.store import SlotStore
from tests.signing import sign

if TYPE_CHECKING:
    from pathlib import Path

    from contract.bundle import Bundle

AT = "2026-01-01T00:00:00.000+00:00"


def paper_bundle(path: Path, name: str, *, counter: int = 0) -> Bundle:
    """A signed bundle whose graph is none: enough to be verified."""
    create_bundle(
        path,
        {graph_name(Precision.FP16): name.encode(), "golden/a.frame.png": b"frame"},
        model_id=name,
        created_at=AT,
        input=InputGeometry(width=64, height=64),
        training={"weights": "none"},
        tools={"gasedge": "0"},
    )
    return sign(path, counter=counter)


def facts_of(bundle: Bundle) -> SlotFacts:
    """What slots.json holds of a bundle."""
    return SlotFacts(
        model_id=bundle.manifest.model_id,
        manifest_sha256=bundle.manifest_sha256,
        rollback_counter=bundle.manifest.rollback_counter,
    )


def partial_of(store: SlotStore, bundle: Bundle) -> Path:
    """A finished folder in the slots, as apply leaves it before the slot is replaced."""
    partial = store.folder / f".partial-{bundle.manifest.model_id}"
    shutil.copytree(bundle.path, partial / "model.gasedge")
    return partial


@pytest.fixture
def bundles(tmp_path: Path) -> list[Bundle]:
    """Three models, one, two and three, with rollback counters 0, 1 and 2."""
    return [
        paper_bundle(tmp_path / f"{name}.gasedge", name, counter=counter)
        for counter, name in enumerate(("one", "two", "three"))
    ]


@pytest.fixture
def store(tmp_path: Path, bundles: list[Bundle]) -> SlotStore:
    """Slots in which model two runs and model one is what ran before."""
    store = SlotStore(tmp_path / "models")
    with store.applying():
        for bundle in bundles[:2]:
            slot = store.take_in(partial_of(store, bundle), facts_of(bundle), who="test")
            store.change(lambda s, slot=slot: s.switched(slot, who="test", at=AT))
            store.change(
                lambda s, manifest=bundle.manifest_sha256: s.model_copy(
                    update={"least_counter": 0}
                ).confirmed(manifest, at=AT)
            )
    store.change(lambda s: s.model_copy(update={"least_counter": 0}))  # both may run
    return store
