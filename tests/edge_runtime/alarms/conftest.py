"""A desk on a virtual clock, and one alarm alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contract.alarms import Action, ActionKind, AlarmKind
from contract.roles import Role
from contract.tags import CameraSnapshot, HealthCode, LeakState, Ne107, Quality
from edge_runtime.alarms.config import AlarmConfig, AlarmRule
from edge_runtime.alarms.desk import Desk, WatchedCamera
from edge_runtime.alarms.event_id import uuid7
from edge_runtime.alarms.machine import AlarmMachine, Now, Sign, state_of
from edge_runtime.database import Database
from edge_runtime.plant.freshness import Published

START = Now(1000.0, 1_800_000_000_000_000_000, clock_ok=True, boot_id="boot-1")


class Clock:
    """Both clocks of a machine."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> Now:
        return self.now

    def wait(self, seconds: float) -> None:
        now = self.now
        self.now = replace(
            now, mono_s=now.mono_s + seconds, utc_ns=now.utc_ns + round(seconds * 1e9)
        )

    def step_wall(self, seconds: float) -> None:
        self.now = replace(self.now, utc_ns=self.now.utc_ns + round(seconds * 1e9))

    def boot(self, off_s: float) -> None:
        self.now = Now(5.0, self.now.utc_ns + round(off_s * 1e9), boot_id="boot-2")


def ids():
    """Ids that are the same in every run."""
    count = 0

    def new(utc_ns: int) -> str:
        nonlocal count
        count += 1
        return uuid7(utc_ns, count)

    return new


def asked(kind, alarm_id="yard.leak", role=Role.ENGINEER, **fields) -> Action:
    return Action(kind, alarm_id, "operator1", role, "page 127.0.0.1", **fields)


class OneAlarm:
    """A machine and its clock; `see("1 0 ?")` gives it a sign each second."""

    def __init__(self, rule=None, common=None) -> None:
        self.clock = Clock()
        rule = rule or AlarmRule(on_delay_s=0, off_delay_s=0)
        self.machine = AlarmMachine(
            "yard.leak", "yard", AlarmKind.LEAK, None, rule, common or AlarmConfig()
        )
        self._new = ids()

    def look(self, sign: str, **fields) -> str:
        there = {"1": True, "0": False, "?": None}[sign]
        self.machine.judge(Sign(there, "Gas leak", **fields), self.clock.now, self._new)
        return self.state

    def see(self, signs: str, **fields) -> list[str]:
        """The state after each of some signs: 1 there, 0 not there, ? nobody can tell."""
        states = []
        for sign in signs.split():
            self.clock.wait(1.0)
            states.append(self.look(sign, **fields))
        return states

    def do(self, kind, **fields):
        outcome, memory = self.machine.asked(asked(kind, **fields), self.clock.now)
        self.machine.take_on(memory, self.clock.now)
        return outcome

    @property
    def state(self) -> str:
        return state_of(self.machine.memory).name

    @property
    def memory(self):
        return self.machine.memory


def shown(
    state=LeakState.NONE,
    quality=Quality.GOOD,
    code=0,
    ne107=Ne107.NORMAL,
    camera="yard",
    **values,
) -> Published:
    """What is published of a camera."""
    named = {name.replace("__", "/"): value for name, value in values.items()}
    return Published(
        CameraSnapshot(
            camera,
            1,
            quality,
            0,
            START.utc_ns,
            {
                "Leak/State": int(state),
                "Leak/Score": 0.8,
                "Leak/AreaFraction": 0.01,
                "Health/Code": int(code),
                "Health/NE107": int(ne107),
                **named,
            },
        ),
        heard=True,
    )


BLIND = {"quality": Quality.BAD, "code": HealthCode.NO_CAMERA, "ne107": Ne107.FAILURE}


class OneDesk:
    """A desk, its clock and what it told."""

    def __init__(self, database=None, cameras=None, clock=None) -> None:
        self.clock = clock or Clock()
        self.database = database or Database(None)
        self.told = []
        self.desk = Desk(
            cameras or [WatchedCamera("yard")],
            self.database,
            clock=self.clock,
            new_id=ids(),
        )
        self.desk.listen(self.told.append)

    def look(self, seconds=1.0, **published) -> None:
        """Look ten times a second."""
        for _ in range(round(seconds * 10)):
            self.clock.wait(0.1)
            self.desk.look(shown(**published))
            self.desk.tick()

    def state(self, id_="yard.leak") -> str:
        return self.alarm(id_).state.name

    def alarm(self, id_="yard.leak"):
        return next(each for each in self.desk.alarms() if each.id == id_)

    def act(self, kind, alarm_id="yard.leak", **fields):
        return self.desk.act(asked(kind, alarm_id, **fields))

    def records(self):
        return self.desk.journal.after(0, 100_000)[1]


@pytest.fixture
def alarms():
    class Alarms:
        one = OneAlarm
        desk = OneDesk
        blind = BLIND
        kinds = ActionKind
        ask = staticmethod(asked)
        show = staticmethod(shown)
        clock = Clock

    return Alarms
