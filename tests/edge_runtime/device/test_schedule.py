"""When the daily check is due, by virtual time, over nights, summer time and wrong clocks."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

from edge_runtime.device.schedule import Schedule

OSLO = ZoneInfo("Europe/Oslo")


def at(text: str, zone=OSLO) -> float:
    return dt.datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def test_it_is_due_once_a_day_from_its_hour_on():
    schedule = Schedule("03:30", OSLO)
    last_s = at("2026-03-01 12:00")
    assert not schedule.is_due(last_s, at("2026-03-02 03:29:59"))
    assert schedule.is_due(last_s, at("2026-03-02 03:30:00"))
    assert not schedule.is_due(at("2026-03-02 03:30:02"), at("2026-03-02 23:00"))


def test_a_device_that_was_off_at_its_hour_checks_when_it_is_on_again():
    assert Schedule("03:30", OSLO).is_due(at("2026-03-01 03:30:05"), at("2026-03-02 09:00"))


def test_every_day_has_one_check_when_summer_time_begins_and_ends():
    schedule = Schedule("02:30", OSLO)
    for day in ("2026-03-28", "2026-10-24"):
        last_s = at(f"{day} 02:30:05")
        made = []
        for hour in range(74):
            now_s = at(f"{day} 03:00") + hour * 3600
            if schedule.is_due(last_s, now_s):
                last_s = now_s
                made.append(dt.datetime.fromtimestamp(now_s, OSLO).day)
        first = made[0]
        assert made == [first, first + 1, first + 2]


def test_overdue_after_25_hours():
    schedule = Schedule("03:30", OSLO)
    last_s = at("2026-03-01 03:30")
    assert not schedule.is_overdue(last_s, last_s + 24.9 * 3600)
    assert schedule.is_overdue(last_s, last_s + 25.1 * 3600)


def test_a_check_in_the_far_future_was_made_by_a_wrong_clock_and_is_due_again():
    schedule = Schedule("03:30", OSLO)
    now_s = at("2026-03-01 12:00")
    assert schedule.is_due(now_s + 86_400 * 365, now_s)
    assert schedule.is_overdue(now_s + 86_400 * 365, now_s)
