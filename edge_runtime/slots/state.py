"""Which slot holds what, which one runs, and what happened: pure rules, no disk and no clock.

A new model is staged in the slot that does not run, switched to, on trial for a while, and then
good. One that fails on trial gives way to the other slot. Starts of the frames process are counted
while a model is on trial, before it is opened, so that one which takes the process down each time
is found out without its help.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from contract.errors import ConfigError

__all__ = ["SLOT_NAMES", "Condition", "Event", "SlotFacts", "SlotName", "Slots"]

SlotName = Literal["slot-a", "slot-b"]
SLOT_NAMES: tuple[SlotName, SlotName] = ("slot-a", "slot-b")
_KEPT = 500  # events
_LONGEST = 1000  # characters of a reason or a name: a library may have much to say

_Forbid = ConfigDict(frozen=True, extra="forbid")


class Condition(Enum):
    """How far the model in a slot may be trusted."""

    STAGED = "staged"  # verified and tested, never ran
    TRIAL = "trial"  # runs, or ran, on trial
    GOOD = "good"
    FAILED = "failed"


class SlotFacts(BaseModel):
    """What stands in a slot."""

    model_config = _Forbid

    model_id: str
    manifest_sha256: str
    rollback_counter: Annotated[int, Field(ge=0)]
    # file in the slot's folder
    engine: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+\.engine$")] | None = None
    condition: Condition = Condition.STAGED
    reason: str = ""  # why it failed
    frame_ms: float | None = None  # a run's time before this one took over, of the one before

    def __str__(self) -> str:
        return f"{self.model_id} ({self.manifest_sha256[:12]})"


class Event(BaseModel):
    """Something that happened, for the history and the audit journal."""

    model_config = _Forbid

    n: int  # from 1, gapless
    at: str  # ISO 8601, UTC
    what: str  # "staged", "switched", "confirmed", "rolled back", "failed", "refused"
    slot: str = ""
    old: str = ""  # model that ran
    new: str = ""  # model that runs, or that this is about
    who: str = ""  # "" for the device itself
    reason: str = ""


class Slots(BaseModel):
    """`slots.json`."""

    model_config = _Forbid

    schema_version: Annotated[int, Field(ge=1, le=1)] = 1
    active: SlotName | None = None
    slots: dict[SlotName, SlotFacts] = {}
    starts: Annotated[int, Field(ge=0)] = 0  # in a row, of the slot on trial, that were no good
    least_counter: Annotated[int, Field(ge=0)] = 0  # of models that may still be applied
    history: tuple[Event, ...] = ()

    @property
    def running(self) -> SlotFacts | None:
        """What stands in the active slot."""
        return self.slots.get(self.active) if self.active else None

    @property
    def is_on_trial(self) -> bool:
        """Whether the active slot still has to prove itself."""
        return self.running is not None and self.running.condition is Condition.TRIAL

    def runs(self, manifest: str) -> bool:
        """Whether the model of that manifest stands in the active slot."""
        return self.running is not None and self.running.manifest_sha256 == manifest

    @property
    def idle(self) -> SlotName:
        """The slot that does not run."""
        return SLOT_NAMES[1] if self.active == SLOT_NAMES[0] else SLOT_NAMES[0]

    @property
    def other(self) -> SlotName | None:
        """The slot to go back to, if what it holds ran before and did not fail."""
        facts = self.slots.get(self.idle)
        usable = facts is not None and facts.condition in (Condition.GOOD, Condition.TRIAL)
        return self.idle if usable and self.active else None

    def emptied(self, slot: SlotName) -> Slots:
        """Before a slot's folder is replaced: nobody may go back to it any more.

        Raises:
            ConfigError: when it is the slot that runs.
        """
        if slot == self.active:
            raise ConfigError(f"{slot} runs and is not replaced")
        kept = {name: facts for name, facts in self.slots.items() if name != slot}
        return self.model_copy(update={"slots": kept})

    def staged(self, slot: SlotName, facts: SlotFacts, *, who: str, at: str) -> Slots:
        """A verified and tested model stands in `slot`."""
        told = self._told("staged", at, slot=slot, new=str(facts), who=who)
        return told.with_slot(slot, facts)

    def switched(
        self, slot: SlotName, *, who: str, at: str, why: str = "", frame_ms: float | None = None
    ) -> Slots:
        """`slot` runs from now on, on trial unless it was good before.

        Args:
            slot: to run.
            who: wanted it.
            at: now.
            why: for the history.
            frame_ms: of a run of the model before, where it was measured.

        Raises:
            ConfigError: when nothing stands there.
        """
        facts = self.slots.get(slot)
        if facts is None:
            raise ConfigError(f"{slot} is empty")
        good = facts.condition is Condition.GOOD
        condition = Condition.GOOD if good else Condition.TRIAL
        changes = {"condition": condition, "reason": "", "frame_ms": frame_ms}
        old = str(self.running or "")
        told = self._told("switched", at, slot=slot, old=old, new=str(facts), who=who, reason=why)
        after = told.with_slot(slot, facts.model_copy(update=changes))
        return after.model_copy(update={"active": slot, "starts": 0})

    def begun(self, *, most: int, at: str) -> Slots:
        """The frames process starts: count it on trial; too many in a row go back.

        Args:
            most: starts in a row that were no good ones.
            at: now.
        """
        if not self.is_on_trial:
            return self
        if self.starts >= most and self.other is not None:
            why = f"{self.starts} starts in a row did not last"
            return self.rolled_back(why, at=at)
        return self.model_copy(update={"starts": self.starts + 1})

    def ended(self) -> Slots:
        """The frames process was asked to end: that start was no bad one."""
        return self.model_copy(update={"starts": max(0, self.starts - 1)})

    def steady(self, manifest: str) -> Slots:
        """The model of that manifest ran for as long as makes a start a good one."""
        return self.model_copy(update={"starts": 0}) if self.runs(manifest) else self

    def confirmed(self, manifest: str, *, at: str) -> Slots:
        """The trial of that manifest's model is over; those with a smaller counter are out now."""
        facts = self.running
        if facts is None or self.active is None or not self.is_on_trial or not self.runs(manifest):
            return self
        least = max(self.least_counter, facts.rollback_counter)
        told = self._told("confirmed", at, slot=self.active, new=str(facts))
        after = told.with_slot(self.active, facts.model_copy(update={"condition": Condition.GOOD}))
        return after.model_copy(update={"starts": 0, "least_counter": least})

    def rolled_back(self, why: str, *, at: str, who: str = "", of: str | None = None) -> Slots:
        """Go back to the other slot; what ran counts as failed unless somebody asked for it.

        Args:
            why: for the history.
            at: now.
            who: asked for it, "" for the device itself.
            of: manifest of the model that is to go; None for whichever runs.

        Raises:
            ConfigError: when there is nothing to go back to, or another model runs than `of`.
        """
        target, facts = self.other, self.running
        if of is not None and not self.runs(of):
            raise ConfigError(f"model {of[:12]} has gone already, {facts or 'none'} runs")
        if target is None or facts is None or self.active is None:
            raise ConfigError("there is no model to go back to: the other slot holds none that ran")
        told = self._told(
            "rolled back",
            at,
            slot=target,
            old=str(facts),
            new=str(self.slots[target]),
            who=who,
            reason=why,
        )
        if not who:
            failed = {"condition": Condition.FAILED, "reason": _plain(why)}
            told = told.with_slot(self.active, facts.model_copy(update=failed))
        return told.model_copy(update={"active": target, "starts": 0})

    def failed(self, slot: SlotName, why: str, *, at: str, who: str = "") -> Slots:
        """What stands in `slot` did not pass; it is never gone back to."""
        facts = self.slots.get(slot)
        if facts is None:
            return self
        told = self._told("failed", at, slot=slot, new=str(facts), who=who, reason=why)
        marked = {"condition": Condition.FAILED, "reason": _plain(why)}
        return told.with_slot(slot, facts.model_copy(update=marked))

    def refused(self, model: str, why: str, *, at: str, who: str) -> Slots:
        """A model was not even staged."""
        return self._told("refused", at, new=model, who=who, reason=why)

    def with_slot(self, slot: SlotName, facts: SlotFacts) -> Slots:
        """The same with other facts of a slot."""
        return self.model_copy(update={"slots": {**self.slots, slot: facts}})

    def _told(self, what: str, at: str, **more: str) -> Slots:
        n = self.history[-1].n + 1 if self.history else 1
        said = {key: _plain(text) for key, text in more.items()}
        event = Event(n=n, at=at, what=what, **said)
        return self.model_copy(update={"history": (*self.history, event)[-_KEPT:]})


def _plain(text: str) -> str:
    """One line of bounded length that a terminal only prints."""
    line = " ".join(text.split())[:_LONGEST]
    return "".join(each if each.isprintable() else "?" for each in line)
