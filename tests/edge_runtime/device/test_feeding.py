"""The watchdog's food: by progress of every process, and for a while while one is healed."""

from __future__ import annotations

from edge_runtime.device.feeding import Feeding, Progress

MADE, REPAIR, NONE = Progress.MADE, Progress.IN_REPAIR, Progress.NONE


def test_it_is_fed_four_times_within_its_limit_and_no_oftener():
    feeding = Feeding(20.0, 0.0)
    fed = [n / 10 for n in range(200) if feeding.is_due(n / 10, [MADE, MADE])]
    assert fed == [0.0, 5.0, 10.0, 15.0]


def test_one_process_without_progress_starves_it():
    feeding = Feeding(4.0, 0.0)
    assert feeding.is_due(0.0, [MADE, MADE])
    assert not any(feeding.is_due(n, [MADE, NONE]) for n in range(1, 100))
    assert not feeding.is_due(100.0, [NONE, REPAIR])
    assert feeding.is_due(101.0, [MADE, MADE])


def test_a_process_that_cannot_be_healed_starves_it_after_a_quarter_of_an_hour():
    feeding = Feeding(4.0, 0.0)
    assert all(feeding.is_due(float(n), [MADE, REPAIR]) for n in range(901))
    assert not any(feeding.is_due(float(n), [MADE, REPAIR]) for n in range(901, 2000))
