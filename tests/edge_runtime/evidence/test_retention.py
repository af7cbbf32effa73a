"""Old evidence makes room by age, number, bytes and free space, the oldest first and no more."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from edge_runtime.evidence.retention import Held, doomed, held_in, make_room
from edge_runtime.plant.config import EvidenceConfig

DAY, MB = 86_400.0, 1 << 20
EVENTS = [Held(f"e{n}", 10 * MB, n * DAY) for n in range(1, 11)]  # e1 is the oldest
AMPLE = {"keep_days": 100, "keep_events": 100, "keep_mb": 10_000, "free_mb": 0}


@pytest.mark.parametrize(
    ("limits", "free_mb", "gone"),
    [
        ({}, 0, 0),
        ({"keep_events": 10}, 0, 0),
        ({"keep_events": 7}, 0, 3),
        ({"keep_mb": 100}, 0, 0),
        ({"keep_mb": 99}, 0, 1),
        ({"keep_mb": 5}, 0, 10),
        ({"keep_days": 5.5}, 0, 4),
        ({"free_mb": 100}, 100, 0),
        ({"free_mb": 100}, 75, 3),
        ({"free_mb": 100}, 0, 10),
        ({"free_mb": 101}, 0, 0),  # others fill the disk: it would not help
        ({"keep_events": 7, "keep_days": 5.5, "keep_mb": 35}, 0, 7),
    ],
)
def test_the_oldest_events_go_until_the_limits_hold(limits, free_mb, gone):
    config = EvidenceConfig(folder=Path("x"), **(AMPLE | limits))
    found = doomed(EVENTS[::-1], config, now_s=10 * DAY, free_bytes=free_mb * MB)
    assert found == [f"e{n}" for n in range(1, gone + 1)]


def test_only_whole_events_are_removed_and_nothing_outside_is_followed(tmp_path):
    root, outside = tmp_path / "evidence", tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"x")
    for name in ("2026_a", "2027_b", ".partial-x"):
        (root / name).mkdir(parents=True)
        (root / name / "manifest.json").write_bytes(b"x" * 100)
    (root / "2025_link").symlink_to(outside)
    (root / ".untold-2026_a").touch()
    assert {each.name for each in held_in(root)} == {"2026_a", "2027_b"}
    config = EvidenceConfig(folder=root, **(AMPLE | {"keep_events": 1}))
    room = make_room(config, time.time())
    assert (len(room.removed), len(held_in(config.folder)), room.is_short) == (1, 1, False)
    assert (outside / "precious").exists()
    assert (root / ".partial-x").exists()


def test_a_disk_that_stays_too_full_is_told(tmp_path):
    config = EvidenceConfig(folder=tmp_path, **(AMPLE | {"free_mb": 1 << 40}))
    assert make_room(config, 0.0).is_short
