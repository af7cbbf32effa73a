"""What becomes of the slots: trial, confirmation, rollback and counters, by rule."""

from __future__ import annotations

import pytest

from contract.errors import ConfigError
from edge_runtime.slots.state import Condition, SlotFacts, Slots
from tests.edge_runtime.slots.conftest import AT

AA, BB = "aa" * 32, "bb" * 32


def facts(name: str, counter: int = 0) -> SlotFacts:
    return SlotFacts(model_id=name, manifest_sha256=name * 32, rollback_counter=counter)


def after_switch() -> Slots:
    """Model b runs on trial, model a was good before it."""
    slots = Slots().staged("slot-a", facts("aa"), who="eva", at=AT)
    slots = slots.switched("slot-a", who="eva", at=AT).confirmed(AA, at=AT)
    slots = slots.staged("slot-b", facts("bb", 3), who="eva", at=AT)
    return slots.switched("slot-b", who="eva", at=AT, frame_ms=12.5)


def test_the_first_model_takes_the_first_slot_and_has_no_way_back():
    slots = Slots()
    assert slots.idle == "slot-a"
    slots = slots.staged("slot-a", facts("aa"), who="eva", at=AT).switched(
        "slot-a", who="eva", at=AT
    )
    assert slots.is_on_trial
    assert slots.other is None
    for _ in range(20):
        slots = slots.begun(most=3, at=AT)
    assert slots.active == "slot-a"
    with pytest.raises(ConfigError, match="no model to go back to"):
        slots.rolled_back("why", at=AT)


def test_a_staged_model_that_never_ran_is_no_way_back():
    slots = Slots().staged("slot-a", facts("aa"), who="", at=AT)
    slots = slots.switched("slot-a", who="", at=AT).staged("slot-b", facts("bb"), who="", at=AT)
    assert slots.other is None


def test_starts_that_do_not_last_go_back_before_the_next_one():
    slots = after_switch()
    for _ in range(3):
        slots = slots.begun(most=3, at=AT)
        assert slots.active == "slot-b"
    slots = slots.begun(most=3, at=AT)
    assert slots.active == "slot-a"
    assert slots.slots["slot-b"].condition is Condition.FAILED
    assert slots.slots["slot-b"].reason == "3 starts in a row did not last"
    assert slots.history[-1].what == "rolled back"
    assert slots.other is None  # a model that failed is never gone back to


def test_starts_that_were_ended_on_purpose_or_lasted_do_not_count():
    slots = after_switch()
    for _ in range(10):
        slots = slots.begun(most=2, at=AT).ended()
        slots = slots.begun(most=2, at=AT).steady(BB)
    assert slots.active == "slot-b"


def test_confirmation_shuts_out_older_counters_and_only_then():
    slots = after_switch()
    assert slots.least_counter == 0
    assert slots.rolled_back("why", at=AT).least_counter == 0
    slots = slots.confirmed(BB, at=AT)
    assert slots.least_counter == 3
    assert not slots.is_on_trial
    assert slots.confirmed(BB, at=AT) == slots


def test_who_goes_back_by_hand_may_come_again():
    slots = after_switch().rolled_back("asked for", at=AT, who="eva")
    assert slots.active == "slot-a"
    assert slots.slots["slot-b"].condition is Condition.TRIAL
    again = slots.rolled_back("asked for", at=AT, who="eva")
    assert again.active == "slot-b"


def test_the_slot_that_runs_is_never_emptied():
    with pytest.raises(ConfigError, match="slot-b runs"):
        after_switch().emptied("slot-b")
    assert after_switch().emptied("slot-a").other is None


def test_what_a_file_or_a_library_is_called_or_says_is_kept_as_one_plain_line():
    slots = after_switch().refused("stick\x1b[2J\n.gasedge", "no\n" * 9999, at=AT, who="eva")
    event = slots.history[-1]
    assert event.new == "stick?[2J .gasedge"
    assert len(event.reason) == 1000
    assert event.reason.isprintable()
    assert slots.failed("slot-a", "a\x1bb", at=AT).slots["slot-a"].reason == "a?b"


def test_only_the_model_that_proved_itself_is_confirmed_and_only_the_one_meant_goes_back():
    slots = after_switch()
    assert slots.confirmed(AA, at=AT) == slots
    begun = slots.begun(most=3, at=AT)
    assert begun.steady(AA).starts == 1
    assert begun.steady(BB).starts == 0
    with pytest.raises(ConfigError, match="has gone already, bb"):
        slots.rolled_back("worse", at=AT, of=AA)
    assert slots.rolled_back("worse", at=AT, of=BB).active == "slot-a"


def test_history_is_numbered_without_a_gap_and_bounded():
    slots = after_switch()
    for _ in range(600):
        slots = slots.refused("cc", "too old", at=AT, who="eva")
    assert len(slots.history) == 500
    assert [e.n for e in slots.history] == list(range(106, 606))
