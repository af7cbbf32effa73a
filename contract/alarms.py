"""An alarm as everybody sees it, what may be asked of it, and who keeps it.

States and terms are those of ISA-18.2 / IEC 62682. The plant process keeps all alarms at one desk;
every interface reads them there and hands it what people ask for, so that no two can disagree.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Protocol

from contract.roles import Role

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from contract.audit import Entry

__all__ = ["Action", "ActionKind", "Alarm", "AlarmDesk", "AlarmKind", "AlarmState", "Outcome"]


class AlarmState(IntEnum):
    """`Leak/AlarmState`, and the state of every other alarm."""

    NORM = 0  # normal
    UNACK = 1  # active, nobody has acknowledged it
    ACKED = 2  # active, acknowledged
    RTN_UNACK = 3  # returned to normal before anybody acknowledged it
    LATCH_UNACK = 4  # returned to normal, held until it is acknowledged and reset
    LATCH_ACKED = 5  # returned to normal and acknowledged, held until it is reset
    SHELVED = 6  # put aside by an operator until a given time
    SUPPRESSED = 7  # by design
    OUT_OF_SERVICE = 8  # taken out by an engineer


class AlarmKind(Enum):
    """What an alarm is about; the value ends its id."""

    LEAK = "leak"
    FAILURE = "failure"
    OFF_SPEC = "off_spec"
    MAINTENANCE = "maintenance"


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm at one instant."""

    id: str  # "yard.leak", "yard.leak.flare" for a zone, "yard.failure"; "device.maintenance"
    camera: str  # "" for what concerns the device and no camera alone
    kind: AlarmKind
    zone: str | None
    state: AlarmState
    active: bool  # the condition itself, after its delays, whatever is shelved
    acked: bool
    confirmed: bool
    severity: int  # 1..1000, as OPC UA counts it
    message: str
    event_id: str  # UUIDv7 of the activation it speaks of, "" before the first
    onset_ns: int  # when that began, UTC, ns since 1970; 0 before the first
    changed_ns: int  # when anything of this last changed, UTC
    comment: str = ""
    who: str = ""  # did the last thing that a person did to it
    shelved_until_ns: int | None = None  # UTC
    shelved_once: bool = False  # until it returns to normal, if that is earlier
    chattering: bool = False
    test: bool = False  # raised by a simulated camera, a replay or a drill: nothing leaks

    @property
    def retain(self) -> bool:
        """Whether an operator should still see it."""
        quiet = (AlarmState.NORM, AlarmState.SUPPRESSED)
        return self.active or not self.acked or self.state not in quiet


class ActionKind(Enum):
    """What a person may ask of an alarm, and the role that it takes."""

    ACKNOWLEDGE = ("acknowledge", Role.OPERATOR)
    CONFIRM = ("confirm", Role.OPERATOR)
    COMMENT = ("comment", Role.OPERATOR)
    SHELVE = ("shelve", Role.OPERATOR)
    UNSHELVE = ("unshelve", Role.OPERATOR)
    RESET = ("reset", Role.ENGINEER)  # end a latch
    TAKE_OUT = ("take_out_of_service", Role.ENGINEER)
    PUT_BACK = ("return_to_service", Role.ENGINEER)

    def __init__(self, label: str, role: Role) -> None:
        self.label = label
        self.role = role


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that one person asks."""

    kind: ActionKind
    alarm_id: str
    who: str
    role: Role
    origin: str  # "opcua 10.1.2.3", "page 127.0.0.1", "sparkplug NCMD"
    comment: str = ""
    seconds: float | None = None  # of a shelving; None takes the configured default
    once: bool = False  # a shelving that ends with what it hides, if that is earlier
    event_id: str = ""  # the activation that was meant; "" whichever it is


class Outcome(Enum):
    """What became of an action."""

    DONE = "done"
    UNKNOWN_ALARM = "there is no such alarm"
    NOT_ALLOWED = "the role may not do this"
    NOTHING_TO_DO = "it already is so"
    OTHER_EVENT = "the alarm speaks of another event by now"
    NOT_YET = "the alarm must be acknowledged first, or return to normal"
    OUT_OF_BOUNDS = "the time asked for is out of bounds"
    NOT_KEPT = "it could not be written down, so it was not done"
    UNANSWERED = "no answer came in time: it may have been done all the same, look at the alarm"


class AlarmDesk(Protocol):
    """Where all alarms are kept; of the plant process' event loop only."""

    def alarms(self) -> Sequence[Alarm]:
        """All alarms, active or not, in a fixed order."""

    def act(self, action: Action) -> Outcome:
        """Do what a person asks, once it is written down; every attempt is audited."""

    def listen(self, told: Callable[[Alarm], None]) -> Callable[[], None]:
        """Call `told` after every change of an alarm; the answer ends that.

        It is told whether or not the change could be written down: an alarm that the disk refuses
        is still an alarm.
        """

    def keep_with(
        self, write: Callable[[Alarm], None], kept: Callable[[], None] = lambda: None
    ) -> Callable[[], None]:
        """Call `write` inside the transaction that keeps a change of more than the text.

        What it puts into the outbox is kept with the change, or neither is. While the disk refuses
        it is called anew for the same change, so it must do nothing but write there. `kept` is
        called once all changes so far are on the disk. The answer ends both.
        """

    def audit(self, entry: Entry) -> bool:
        """Write into the audit journal; False when that was not possible: ask once more."""

    def note(self, entry: Entry) -> None:
        """Write into the audit journal, as soon as the disk takes it.

        Of what people are refused, log-ins and actions, so many a minute are written singly and
        the others counted; of everything else each record is written.
        """

    def maintain(self, reason: str, text: str | None) -> None:
        """Say that the device needs maintenance, or with None that this reason is gone.

        Args:
            reason: a name for the reason, such as "certificate"; one text is kept for each.
            text: a sentence for the operator.
        """
