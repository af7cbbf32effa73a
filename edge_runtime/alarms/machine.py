"""One alarm: what it remembers, how time and its sign change that, and what a person may ask of it.

Pure: time comes as an argument, ids from the caller, and what a person asks gives a new memory
that the caller takes on once it is written down. Terms and states are those of ISA-18.2.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from contract.alarms import ActionKind, Alarm, AlarmKind, AlarmState, Outcome
from contract.plain_text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from contract.alarms import Action
    from edge_runtime.alarms.config import AlarmConfig, AlarmRule

__all__ = ["AlarmMachine", "Memory", "Now", "Shelving", "Sign", "state_of"]

_SECOND = 1_000_000_000
_NO_EARLIER_NS = 1_704_067_200 * _SECOND  # 2024: a clock before it was never set
_STEP_S = 2.0  # of the wall clock, from which on a shelving's end is told anew
_SAY_S = 5.0  # between two texts of an alarm that stands


@dataclass(frozen=True, slots=True)
class Now:
    """An instant."""

    mono_s: float  # monotonic clock, which all processes since the machine's start share
    utc_ns: int
    clock_ok: bool = True  # the clock is kept by a time server
    boot_id: str = ""  # of the machine's start


@dataclass(frozen=True, slots=True)
class Sign:
    """Whether what an alarm is about is there at one instant."""

    there: bool | None  # None while nobody can tell: the alarm is neither raised nor cleared
    text: str  # for the operator
    onset_ns: int | None = None  # since when, UTC, where it is known better than by looking
    suppressed: bool = False  # by design
    patient: bool = False  # as may be for a while after a start: then the long delay holds
    test: bool = False  # what is there is a test's or a drill's


@dataclass(frozen=True, slots=True)
class Shelving:
    """When a shelving ends, by both clocks: a step of the wall clock changes nothing."""

    until_s: float  # monotonic, of the machine's start `boot_id`
    until_ns: int  # UTC; decides after another start only
    boot_id: str
    left_s: float  # when this was written: no clock makes it longer
    once: bool = False  # it ends as well when the alarm returns to normal


@dataclass(frozen=True, slots=True)
class Memory:
    """What must outlive the process."""

    active: bool = False
    acked: bool = True
    confirmed: bool = True
    latched: bool = False
    suppressed: bool = False
    out_of_service: bool = False
    chattering: bool = False
    shelving: Shelving | None = None
    event_id: str = ""
    onset_ns: int = 0
    changed_ns: int = 0
    count: int = 0  # activations so far
    announced: int = 0  # how often this one was announced
    test: bool = False  # this activation is a test's
    message: str = ""
    comment: str = ""
    who: str = ""


def state_of(memory: Memory) -> AlarmState:
    """The one of the nine states that a memory stands for."""
    if memory.out_of_service:
        return AlarmState.OUT_OF_SERVICE
    if memory.suppressed:
        return AlarmState.SUPPRESSED
    if memory.shelving is not None:
        return AlarmState.SHELVED
    if memory.active:
        return AlarmState.ACKED if memory.acked else AlarmState.UNACK
    if memory.latched:
        return AlarmState.LATCH_ACKED if memory.acked else AlarmState.LATCH_UNACK
    return AlarmState.NORM if memory.acked else AlarmState.RTN_UNACK


class AlarmMachine:
    """One alarm over time.

    Args:
        id_: of the alarm.
        camera: whose it is, "" for the device.
        kind: what it is about.
        zone: of the camera, or None.
        rule: its delays, latch and severity.
        common: what all alarms of the camera share.
    """

    def __init__(
        self,
        id_: str,
        camera: str,
        kind: AlarmKind,
        zone: str | None,
        rule: AlarmRule,
        common: AlarmConfig,
    ) -> None:
        self.id, self.camera, self.kind, self.zone = id_, camera, kind, zone
        self.rule, self.common = rule, common
        self.memory = Memory()
        self._seen: bool | None = None  # last sign that could be told
        self._begun_s: deque[float] = deque(maxlen=common.chatter_count)
        self._against_s: float | None = None  # since when the sign speaks against what stands
        self._announced_s = self._said_s = -math.inf

    def remember(self, memory: Memory, now: Now) -> None:
        """Take up what was kept; delays begin anew."""
        self.memory = memory
        self._announced_s = now.mono_s

    def judge(self, sign: Sign, now: Now, new_id: Callable[[int], str]) -> None:
        """Take in the sign at an instant; `memory` is another one if anything changed."""
        before = self.memory
        chattering = self._chatters(sign, now)
        memory = before
        if (before.suppressed, before.chattering) != (sign.suppressed, chattering):
            memory = replace(before, suppressed=sign.suppressed, chattering=chattering)
        if before.active and before.test and not sign.test:
            # what comes after a test is another alarm, with its own delay, id and acknowledgement
            active = False
            memory = replace(memory, chattering=False)
            self._begun_s.clear()
            self._against_s = None
        else:
            active = self._after_delays(sign, memory, now)
        if active and not before.active:
            memory = replace(
                memory,
                active=True,
                acked=False,
                confirmed=False,
                latched=False,
                event_id=new_id(now.utc_ns),
                onset_ns=sign.onset_ns or now.utc_ns,
                count=memory.count + 1,
                announced=1,
                test=sign.test,
                comment="",
                who="",
            )
            self._announced_s = now.mono_s
        elif before.active and not active:
            memory = replace(memory, active=False, latched=self.rule.latch)
            if memory.shelving is not None and memory.shelving.once:
                memory = replace(memory, shelving=None)
        # a cause that changes ten times a second must not fill disk and alarm list
        may_say = not before.active or now.mono_s - self._said_s >= _SAY_S
        if memory.active and memory.message != sign.text and may_say:
            self._said_s = now.mono_s
            memory = replace(memory, message=sign.text)
        memory = self._announced(before, _shelved_still(memory, now), now)
        if memory is not before and memory != before:
            memory = replace(memory, changed_ns=now.utc_ns)
        self.memory = memory

    def asked(self, action: Action, now: Now) -> tuple[Outcome, Memory]:
        """What becomes of an action, and the memory after it; this machine does not change."""
        memory = self.memory
        if action.event_id not in ("", memory.event_id):
            return Outcome.OTHER_EVENT, memory
        outcome, after = _ASKED[action.kind](self, action, now)
        if outcome is not Outcome.DONE:
            return outcome, memory
        comment = one_line(action.comment) or after.comment
        return outcome, replace(
            after, comment=comment, who=one_line(action.who), changed_ns=now.utc_ns
        )

    def take_on(self, memory: Memory, now: Now) -> None:
        """Be what `asked` gave, once it is written down."""
        if memory.announced > self.memory.announced:
            self._announced_s = now.mono_s
        self.memory = memory

    def alarm(self, memory: Memory | None = None) -> Alarm:
        """As everybody sees it."""
        memory = memory or self.memory
        return Alarm(
            id=self.id,
            camera=self.camera,
            kind=self.kind,
            zone=self.zone,
            state=state_of(memory),
            active=memory.active,
            acked=memory.acked,
            confirmed=memory.confirmed,
            severity=self.rule.severity,
            message=memory.message,
            event_id=memory.event_id,
            onset_ns=memory.onset_ns,
            changed_ns=memory.changed_ns,
            comment=memory.comment,
            who=memory.who,
            shelved_until_ns=memory.shelving.until_ns if memory.shelving else None,
            shelved_once=memory.shelving is not None and memory.shelving.once,
            chattering=memory.chattering,
            test=memory.test,
        )

    def _chatters(self, sign: Sign, now: Now) -> bool:
        """Whether the sign comes and goes too often; it ends after a while without a beginning."""
        if sign.there is None:
            return self.memory.chattering
        if sign.there and self._seen is False:
            self._begun_s.append(now.mono_s)
        self._seen = sign.there
        while self._begun_s and now.mono_s - self._begun_s[0] > self.common.chatter_s:
            self._begun_s.popleft()
        full = len(self._begun_s) == self.common.chatter_count
        return full or (self.memory.chattering and bool(self._begun_s))

    def _after_delays(self, sign: Sign, memory: Memory, now: Now) -> bool:
        there = None if sign.there is None else sign.there or memory.chattering
        if there is None:
            if memory.active:  # only a clear must be seen in one piece: a leak that is seen
                self._against_s = None  # again and again is not hidden by what lies between
            return memory.active
        if there == memory.active:
            self._against_s = None
            return memory.active
        if self._against_s is None:
            self._against_s = now.mono_s
        delay_s = self.rule.off_delay_s if memory.active else self.rule.on_delay_s
        if sign.patient and not memory.active:
            delay_s = max(delay_s, self.common.starting_s)
        if memory.chattering and not memory.active:
            delay_s = 0.0  # it comes again and again, each time too short for the delay
        if now.mono_s - self._against_s < delay_s:
            return memory.active
        self._against_s = None
        return not memory.active

    def _announced(self, before: Memory, memory: Memory, now: Now) -> Memory:
        """Announce again what stands for long, or comes back from where nobody heard it."""
        quiet = (AlarmState.SHELVED, AlarmState.SUPPRESSED, AlarmState.OUT_OF_SERVICE)
        if not memory.active or state_of(memory) in quiet:
            return memory
        returns = before.active and state_of(before) in quiet
        if returns or now.mono_s - self._announced_s >= self.common.realarm_s:
            self._announced_s = now.mono_s
            return replace(memory, acked=False, confirmed=False, announced=memory.announced + 1)
        return memory

    def _acknowledge(self, action: Action, now: Now) -> tuple[Outcome, Memory]:
        del action, now
        if self.memory.acked:
            return Outcome.NOTHING_TO_DO, self.memory
        return Outcome.DONE, replace(self.memory, acked=True)

    def _confirm(self, action: Action, now: Now) -> tuple[Outcome, Memory]:
        del action, now
        if self.memory.confirmed:
            return Outcome.NOTHING_TO_DO, self.memory
        if not self.memory.acked:
            return Outcome.NOT_YET, self.memory
        return Outcome.DONE, replace(self.memory, confirmed=True)

    def _comment(self, action: Action, now: Now) -> tuple[Outcome, Memory]:
        del now
        return (Outcome.DONE if action.comment else Outcome.NOTHING_TO_DO), self.memory

    def _shelve(self, action: Action, now: Now) -> tuple[Outcome, Memory]:
        seconds = self.common.shelve_s if action.seconds is None else action.seconds
        if not 0 < seconds <= self.common.shelve_max_s:  # NaN is not, either
            return Outcome.OUT_OF_BOUNDS, self.memory
        if self.memory.shelving is not None:
            return Outcome.NOTHING_TO_DO, self.memory
        shelving = _shelving(seconds, now, once=action.once)
        return Outcome.DONE, replace(self.memory, shelving=shelving)

    def _unshelve(self, action: Action, now: Now) -> tuple[Outcome, Memory]:
        del action, now
        if self.memory.shelving is None:
            return Outcome.NOTHING_TO_DO, self.memory
        return Outcome.DONE, self._back(replace(self.memory, shelving=None))

    def _reset(self, action: Action, now: Now) -> tuple[Outcome, Memory]:
        del action, now
        if self.memory.latched and self.memory.acked:
            return Outcome.DONE, replace(self.memory, latched=False)
        waits = self.memory.latched or (self.memory.active and self.rule.latch)
        return (Outcome.NOT_YET if waits else Outcome.NOTHING_TO_DO), self.memory

    def _take_out(self, action: Action, now: Now) -> tuple[Outcome, Memory]:
        del action, now
        if self.memory.out_of_service:
            return Outcome.NOTHING_TO_DO, self.memory
        return Outcome.DONE, replace(self.memory, out_of_service=True)

    def _put_back(self, action: Action, now: Now) -> tuple[Outcome, Memory]:
        del action, now
        if not self.memory.out_of_service:
            return Outcome.NOTHING_TO_DO, self.memory
        return Outcome.DONE, self._back(replace(self.memory, out_of_service=False))

    def _back(self, memory: Memory) -> Memory:
        """Announced again where it stands and is heard now."""
        heard = state_of(memory) in (AlarmState.ACKED, AlarmState.UNACK)
        if not heard:
            return memory
        return replace(memory, acked=False, confirmed=False, announced=memory.announced + 1)


_ASKED = {
    ActionKind.ACKNOWLEDGE: AlarmMachine._acknowledge,  # noqa: SLF001 - its own table
    ActionKind.CONFIRM: AlarmMachine._confirm,  # noqa: SLF001
    ActionKind.COMMENT: AlarmMachine._comment,  # noqa: SLF001
    ActionKind.SHELVE: AlarmMachine._shelve,  # noqa: SLF001
    ActionKind.UNSHELVE: AlarmMachine._unshelve,  # noqa: SLF001
    ActionKind.RESET: AlarmMachine._reset,  # noqa: SLF001
    ActionKind.TAKE_OUT: AlarmMachine._take_out,  # noqa: SLF001
    ActionKind.PUT_BACK: AlarmMachine._put_back,  # noqa: SLF001
}


def _shelving(seconds: float, now: Now, *, once: bool) -> Shelving:
    until_ns = now.utc_ns + round(seconds * _SECOND)
    return Shelving(now.mono_s + seconds, until_ns, now.boot_id, seconds, once)


def _shelved_still(memory: Memory, now: Now) -> Memory:
    shelving = memory.shelving
    if shelving is None:
        return memory
    if shelving.boot_id and shelving.boot_id == now.boot_id:
        left_s = min(shelving.until_s - now.mono_s, shelving.left_s)
    elif now.utc_ns < _NO_EARLIER_NS:
        left_s = 0.0  # nobody knows how long the machine was off
    else:
        left_s = min((shelving.until_ns - now.utc_ns) / _SECOND, shelving.left_s)
    if left_s <= 0:
        return replace(memory, shelving=None)
    stepped = abs((shelving.until_ns - now.utc_ns) / _SECOND - left_s) > _STEP_S
    if stepped or shelving.boot_id != now.boot_id:
        return replace(memory, shelving=_shelving(left_s, now, once=shelving.once))
    return memory
