"""What a child says of itself: by its loop's beats, on a virtual clock."""

from __future__ import annotations

from edge_runtime.beat import HUNG, SERVING, STARTING, Beat


def test_a_loop_that_comes_round_serves_and_one_that_stops_hangs():
    beat = Beat(100.0, hung_s=10.0)
    beat.mark(105.0)
    assert beat.word(114.9) == SERVING
    assert beat.word(115.0) == HUNG
    beat.mark(130.0)
    assert beat.word(131.0) == SERVING


def test_one_that_has_not_begun_starts_but_not_for_ever():
    beat = Beat(100.0, start_s=120.0)
    assert beat.word(219.0) == STARTING
    assert beat.word(221.0) == HUNG


def test_a_hung_process_writes_nothing_to_its_parent():
    assert HUNG == b""
    assert SERVING not in STARTING
