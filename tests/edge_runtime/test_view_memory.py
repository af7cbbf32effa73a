"""A camera that moves while the frames process starts again is still told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contract.tags import HealthCode
from edge_runtime.config import HealthConfig
from edge_runtime.supervision import CameraWatch
from edge_runtime.view_memory import ViewMemory
from tests.edge_runtime.conftest import wait_for
from tests.edge_runtime.test_supervision import pushed, watched, yard

if TYPE_CHECKING:
    from pathlib import Path


def kept_view(folder: Path) -> None:
    """A first process learns the yard and writes it down."""
    watch, _, _ = watched(yard(seed) for seed in range(40))
    with ViewMemory(folder, {"north": lambda: watch.view.learned}, every_s=0.02):
        wait_for((folder / "view-north.npz").exists)


@pytest.mark.parametrize(("right", "told"), [(0.3, HealthCode.MOVED), (0.0, HealthCode(0))])
def test_the_next_process_holds_pictures_against_the_view_of_the_one_before(
    tmp_path: Path, right: float, told: HealthCode
):
    kept_view(tmp_path)
    view = ViewMemory(tmp_path, {}).recall("north")
    assert view is not None
    watch = CameraWatch(HealthConfig())
    watch.view.recall(view)
    watch, now, _ = watched((pushed(yard(seed), right) for seed in range(40, 65)), watch=watch)
    assert watch.faults(now) == told


def test_a_view_that_is_not_learned_is_not_kept(tmp_path: Path):
    watch, _, _ = watched(yard(seed) for seed in range(3))
    asked: list[bool] = []

    def learned():
        asked.append(True)
        return watch.view.learned

    with ViewMemory(tmp_path, {"north": learned}, every_s=0.01) as memory:
        wait_for(lambda: len(asked) > 1)
    assert memory.recall("north") is None


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 no archive", None])
def test_a_damaged_memory_is_told_and_the_view_learned_anew(tmp_path: Path, caplog, damage):
    kept_view(tmp_path)
    path = tmp_path / "view-north.npz"
    path.write_bytes(path.read_bytes()[:-40] if damage is None else damage)
    assert ViewMemory(tmp_path, {}).recall("north") is None
    assert "view-north.npz: this view cannot be recalled" in caplog.text
