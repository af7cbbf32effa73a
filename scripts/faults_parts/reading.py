"""What a plant saw over Modbus at an instant, and what is right while a fault stands. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from contract.tags import HealthCode, LeakState, Quality, tag

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["PATIENCE_S", "WORDS", "Judged", "Reading", "Shown", "judge"]

PATIENCE_S = 2.0
"""How long after a fault something else than the truth may be shown."""
WORDS = 50
"""Input registers that are read at once."""
_BEATS_S = 3.0  # the heartbeat counts seconds; a busy machine may be late by one
_WITHIN_S = 0.1  # from a reading to the next, and what a busy machine adds
_AT = {
    name: tag(name).register or 0
    for name in ("Leak/State", "Health/Quality", "Health/Heartbeat", "Leak/AlarmState")
}
_CODE = tag("Health/Code").register or 0
_AGE = tag("Frame/AgeMs").scaled_register or 0
_FAILURE = tag("Alarm/FailureState").register or 0


@dataclass(frozen=True, slots=True)
class Reading:
    """One camera's values, or that nobody answered."""

    at_s: float  # monotonic
    words: tuple[int, ...]  # input registers from 0; empty: nobody answered
    still_s: float = 0.0  # how long the heartbeat has stood still

    @property
    def state(self) -> int:
        """Leak/State; unknown where nobody answers."""
        return self.words[_AT["Leak/State"]] if self.words else LeakState.UNKNOWN.value

    @property
    def quality(self) -> int:
        """Health/Quality; bad where nobody answers."""
        return self.words[_AT["Health/Quality"]] if self.words else Quality.BAD.value

    @property
    def heartbeat(self) -> int:
        """Health/Heartbeat."""
        return self.words[_AT["Health/Heartbeat"]] if self.words else -1

    @property
    def code(self) -> HealthCode:
        """Health/Code."""
        return HealthCode(self.words[_CODE] << 16 | self.words[_CODE + 1] if self.words else 0)

    @property
    def age_ms(self) -> int:
        """Frame/AgeMs, as the scaled register has it."""
        return self.words[_AGE] if self.words else 0

    @property
    def alarms(self) -> tuple[int, int]:
        """States of the camera's leak and failure alarms."""
        if not self.words:
            return -1, -1
        return self.words[_AT["Leak/AlarmState"]], self.words[_FAILURE]

    @property
    def is_watched(self) -> bool:
        """A leak state is shown as true, and frames are being segmented."""
        believed = self.quality <= Quality.UNCERTAIN and self.state != LeakState.UNKNOWN
        return bool(self.words) and believed and self.still_s < _BEATS_S

    @property
    def is_unknown(self) -> bool:
        """It says itself that nobody is looking."""
        bad = self.quality == Quality.BAD and self.state == LeakState.UNKNOWN
        return bool(self.words) and bad

    @property
    def is_false(self) -> bool:
        """A leak state is shown as true while nothing is segmented: what must never be."""
        believed = bool(self.words) and self.quality <= Quality.UNCERTAIN
        return believed and self.still_s >= _BEATS_S

    def __str__(self) -> str:
        if not self.words:
            return "no answer"
        why = HealthCode(self.code & ~HealthCode.TEST_SOURCE)
        names = "+".join(bit.name or "" for bit in HealthCode if bit in why)
        state = "unknown" if self.state == LeakState.UNKNOWN else f"state {self.state}"
        return f"{state}, {Quality(self.quality).name.lower()}{f', {names}' if names else ''}"


class Shown(Enum):
    """What is right while a fault stands."""

    WATCHED = "as before"
    UNKNOWN = "unknown"
    SILENT = "unknown or no answer"
    HONEST = "never a state that nobody looks at"
    TOLD = "as before, and told"

    def fits(self, reading: Reading, told: HealthCode) -> bool:
        """Whether a reading is right.

        Args:
            reading: of one camera.
            told: bits of Health/Code that must stand.
        """
        is_told = told in reading.code
        if self is Shown.WATCHED:
            return reading.is_watched
        if self is Shown.UNKNOWN:
            return reading.is_unknown and is_told
        if self is Shown.SILENT:
            return reading.is_unknown or not reading.words
        if self is Shown.HONEST:
            return not reading.is_false
        return reading.is_watched and is_told

    @property
    def goes_on(self) -> bool:
        """Nothing may change: only moments in which a busy machine is late are let pass."""
        return self in (Shown.WATCHED, Shown.TOLD)


@dataclass(frozen=True, slots=True)
class Judged:
    """How the readings of one camera stand to what is right."""

    detected_s: float | None  # from the fault until the first right one
    shown: str  # that one, or the first wrong one after two seconds
    is_right: bool


def _course(readings: Sequence[Reading]) -> str:
    """What was shown, in the order in which it came, once each."""
    found: list[str] = []
    for reading in readings:
        said = "as before" if reading.is_watched else str(reading)
        if said not in found:
            found.append(said)
    return ", then ".join(found[:4])


def judge(
    readings: Sequence[Reading],
    right: Shown,
    told: HealthCode,
    *,
    begin_s: float,
    end_s: float,
    told_in_s: float = PATIENCE_S,
) -> Judged:
    """Judge what was read of a camera while a fault stood.

    Args:
        readings: in their order; they may begin earlier and end later.
        right: what must be shown.
        told: bits that must stand with it.
        begin_s: of the fault, monotonic.
        end_s: of the fault.
        told_in_s: how long bits may take where the state itself does not change.
    """
    first = next((r for r in readings if r.at_s >= begin_s and right.fits(r, told)), None)
    judged = [r for r in readings if begin_s <= r.at_s <= end_s]
    if first is None or not judged:
        return Judged(None, str(judged[-1]) if judged else "nothing was read", is_right=False)
    detected_s = first.at_s - begin_s
    if right.goes_on:
        since_s: float | None = None  # since when it is not watched
        late_s, what = 0.0, ""
        for reading in judged:
            if reading.is_watched:
                since_s = None
                continue
            since_s = reading.at_s if since_s is None else since_s
            if reading.at_s - since_s >= late_s:
                late_s, what = reading.at_s - since_s, str(reading)
        is_right = late_s <= PATIENCE_S and (not told or detected_s <= told_in_s + _WITHIN_S)
        said = str(first) if told else "as before"
        said += f" ({what} for {late_s:.1f} s)" if what else ""
        return Judged(detected_s, said, is_right)
    if right is Shown.HONEST:
        wrong = next((r for r in judged if not r.is_watched), None)
        away_s = None if wrong is None else wrong.at_s - begin_s
        false = [r for r in judged if r.is_false]
        return Judged(away_s, str(false[0]) if false else _course(judged), is_right=not false)
    latest_s = begin_s + PATIENCE_S + _WITHIN_S
    for reading in judged:
        if reading.at_s >= latest_s and not right.fits(reading, told):
            said = f"{reading} after {reading.at_s - begin_s:.1f} s"
            return Judged(detected_s, said, is_right=False)
    return Judged(detected_s, str(first), is_right=detected_s <= PATIENCE_S + _WITHIN_S)
