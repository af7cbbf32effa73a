"""Does one fault after another to a daemon and says what came of each."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from contract.errors import GasedgeError
from contract.tags import HealthCode

from .fault import Fault, Outcome
from .reading import Reading, Shown, judge
from .rig import Rig
from .wrong import WrongError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["outcomes"]


_CLEAN_S = 60.0  # for what an earlier fault left to be told no more
_BEFORE_S = 1.0  # of a daemon as it should be, before each fault


def outcomes(faults: Iterable[Fault], folder: Path, bundle: Path) -> Iterator[Outcome]:
    """Do each fault; those of one setting that follow each other share a daemon.

    Args:
        faults: in their order.
        folder: for all files.
        bundle: what the daemons run.
    """
    with contextlib.ExitStack() as stack:
        rig: Rig | None = None
        for number, fault in enumerate(faults):
            why = fault.needs()
            if why:
                yield Outcome(fault, None, "", None, "", (), skipped=why)
                continue
            try:
                if rig is None or rig.setting is not fault.setting:
                    stack.close()
                    rig = None
                    place = folder / f"{number:02d}-{fault.setting.name}"
                    rig = stack.enter_context(Rig(place, bundle, fault.setting))
                outcome = _done(fault, rig)
            except (GasedgeError, OSError, AssertionError) as error:
                outcome = Outcome(fault, None, "", None, "?", (str(error),))
            yield outcome
            if outcome.faults or fault.breaks:  # what is wrong now must not spoil the next row
                stack.close()
                rig = None


def _done(fault: Fault, rig: Rig) -> Outcome:
    rig.settle(fault.recover_s)
    bits = fault.told | fault.seen
    if bits and rig.watch.until(lambda r: not r.code & bits, 1, _CLEAN_S) is None:
        raise WrongError(f"{bits.name} stood already before the fault")
    time.sleep(_BEFORE_S)
    rig.watch.forget()
    rig.watch.false.clear()
    complaints: list[str] = []
    begin_s = end_s = time.monotonic()
    try:
        with fault.do(rig) as begin_s:
            time.sleep(max(0.0, begin_s + fault.hold_s - time.monotonic()))
            end_s = time.monotonic()
    except WrongError as error:
        complaints.append(str(error))
    limits = {"begin_s": begin_s, "end_s": end_s, "told_in_s": fault.told_in_s}
    first = judge(rig.watch.readings(1), fault.shown, fault.told, **limits)
    second = judge(rig.watch.readings(2), fault.other, HealthCode(0), **limits)
    for name, judged in (("camera 1", first), ("camera 2", second)):
        if not judged.is_right:
            complaints.append(f"{name}: {judged.shown}")
    seen_s = _seen_s(rig.watch.readings(1), fault.seen, begin_s)
    if seen_s is None or seen_s > fault.told_in_s:
        complaints.append(f"{fault.seen.name} was not told in time")
    recovered_s: float | None = None
    try:
        rig.settle(fault.recover_s)
        recovered_s = time.monotonic() - end_s
    except WrongError as error:
        complaints.append(str(error))
    complaints += rig.watch.false[:1]
    lost = rig.records.lost()
    if recovered_s is not None:  # which is not before all that waited has arrived
        recovered_s = max(recovered_s, rig.records.whole_s - end_s)
    complaints += lost
    if fault.breaks:
        complaints += _untold(rig)
    return Outcome(
        fault,
        seen_s if fault.seen else None if fault.shown is Shown.WATCHED else first.detected_s,
        first.shown,
        recovered_s,
        "; ".join(lost) or "0",
        tuple(complaints),
    )


def _untold(rig: Rig) -> list[str]:
    """Which of log and journal does not say that a file was broken."""
    told = {"log": rig.said("was broken"), "journal": rig.records.tell_a_break()}
    return [f"the {place} does not tell it" for place, is_told in told.items() if not is_told]


def _seen_s(readings: list[Reading], bits: HealthCode, begin_s: float) -> float | None:
    """When bits of Health/Code were first told."""
    return next((r.at_s - begin_s for r in readings if r.at_s >= begin_s and bits in r.code), None)
