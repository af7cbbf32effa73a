"""Random months of an alarm's life: what must hold whatever happens, by seed."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from contract.alarms import ActionKind
from edge_runtime.alarms.config import AlarmConfig, AlarmRule

LONGEST_S = 28_800.0
ACTIONS = list(ActionKind)


def lived(alarms, seed, steps=400):
    """An alarm's memory after each random step, with the step's sign and how long it took."""
    random = np.random.default_rng(seed)
    rule = AlarmRule(
        on_delay_s=float(random.integers(0, 5)),
        off_delay_s=float(random.integers(0, 5)),
        latch=bool(random.integers(2)),
    )
    one = alarms.one(rule, AlarmConfig(realarm_s=600))
    for _ in range(steps):
        event = random.random()
        if event < 0.1:
            one.do(ACTIONS[random.integers(len(ACTIONS))], seconds=float(random.uniform(1, 9e4)))
        elif event < 0.13:
            one.clock.step_wall(float(random.uniform(-1e5, 1e5)))
        elif event < 0.14:
            one.clock.boot(float(random.uniform(0, 1e4)))
        waited_s = float(random.choice([0.1, 1, 10, 1000]))
        one.clock.wait(waited_s)
        before = one.memory
        sign = str(random.choice(["1", "0", "?"]))
        one.look(sign, suppressed=random.random() < 0.02)
        yield before, one.memory, sign, waited_s, one


@pytest.mark.parametrize("seed", range(25))
def test_whatever_happens_the_rules_hold(alarms, seed):
    shelved_s = 0.0
    for before, after, sign, waited_s, one in lived(alarms, seed):
        if sign == "?":  # blindness holds
            assert after.active == before.active
            assert after.event_id == before.event_id
            assert after.latched == before.latched
        if before.active and not after.active:
            assert sign == "0"
        if after.active and not before.active:
            assert not after.acked
            assert after.event_id != before.event_id
            assert after.count == before.count + 1
        if after.acked and not before.acked:
            raise AssertionError("only a person acknowledges")
        shelved_s = shelved_s + waited_s if after.shelving else 0.0
        assert shelved_s <= LONGEST_S + 1000, "a shelving always ends"
        if after != before:
            assert after.changed_ns == one.clock.now.utc_ns


def test_the_same_life_gives_the_same_memory(alarms):
    lives = [[asdict(after) for _, after, *_ in lived(alarms, 7)] for _ in range(2)]
    assert lives[0] == lives[1]
