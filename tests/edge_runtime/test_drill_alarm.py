"""A leak alarm that a drill raised ends with the drill, and a real leak is announced anew."""

from __future__ import annotations

from contract.alarms import AlarmKind, AlarmState
from contract.tags import CameraSnapshot, HealthCode, LeakState, Quality
from edge_runtime.alarms.config import AlarmConfig
from edge_runtime.alarms.machine import AlarmMachine, Now
from edge_runtime.alarms.signs import leak_sign

TEST = HealthCode.TEST_SOURCE | HealthCode.DRILL


class Leak:
    """A camera's leak alarm that is looked at ten times a second."""

    def __init__(self, **rule) -> None:
        config = AlarmConfig.model_validate({"leak": rule})
        self.rule = config.leak
        self.machine = AlarmMachine("n.leak", "n", AlarmKind.LEAK, None, config.leak, config)
        self.at_s, self.ids = 0.0, 0

    def shown(self, seconds, state, code=0, quality=None):
        quality = quality or (Quality.UNCERTAIN if code else Quality.GOOD)
        values = {"Leak/State": int(state), "Leak/Score": 0.9, "Leak/AreaFraction": 0.1}
        snapshot = CameraSnapshot("n", 1, quality, 0, 0, {**values, "Health/Code": int(code)})
        for _ in range(round(seconds * 10)):
            self.at_s += 0.1
            sign = leak_sign(snapshot, self.rule, active=self.machine.memory.active)
            self.machine.judge(sign, Now(self.at_s, round((1.8e9 + self.at_s) * 1e9)), self.id)
        return self.machine.alarm()

    def id(self, _):
        self.ids += 1
        return f"event-{self.ids}"


def test_a_drills_alarm_says_test_and_ends_with_the_drill_whatever_the_delay():
    leak = Leak(off_delay_s=60.0)
    raised = leak.shown(1.0, LeakState.LEAK, TEST)
    assert raised.state is AlarmState.UNACK
    assert raised.test
    assert raised.message.startswith("TEST: ")
    over = leak.shown(0.1, LeakState.NONE)
    assert over.state is AlarmState.RTN_UNACK
    assert over.message.startswith("TEST: ")


def test_real_gas_after_a_drill_is_an_alarm_of_its_own_that_nobody_has_acknowledged():
    leak = Leak(off_delay_s=60.0)
    drilled = leak.shown(1.0, LeakState.LEAK, TEST)
    for state in (LeakState.SUSPECT, LeakState.LEAK):
        found = leak.shown(0.3, state)
    assert found.state is AlarmState.UNACK
    assert found.event_id != drilled.event_id
    assert not found.test
    assert "TEST" not in found.message


def test_several_drills_in_a_minute_are_no_chatter_that_raises_an_alarm_without_gas():
    leak = Leak()
    for _ in range(5):
        leak.shown(0.5, LeakState.NONE)
        leak.shown(0.5, LeakState.LEAK, TEST)
        over = leak.shown(0.5, LeakState.NONE)
        assert (over.active, over.chattering) == (False, False)


def test_a_drills_alarm_is_not_held_over_a_blind_camera():
    leak = Leak()
    leak.shown(1.0, LeakState.LEAK, TEST)
    blind = leak.shown(0.2, LeakState.UNKNOWN, HealthCode.NO_CAMERA, Quality.BAD)
    assert not blind.active
    real = Leak()
    real.shown(1.0, LeakState.LEAK)
    assert real.shown(0.2, LeakState.UNKNOWN, HealthCode.NO_CAMERA, Quality.BAD).active
