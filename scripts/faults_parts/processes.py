"""Each process of the daemon killed and stopped, at random moments."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from typing import TYPE_CHECKING

from .fault import Fault
from .opcua_client import serves_opcua
from .reading import Shown
from .rig import Rig, Setting
from .wrong import WrongError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["rows"]

_SETTING = Setting(
    "processes", tables='[plant.evidence]\nfolder = "{folder}/evidence"\npost_s = 2\npre_s = 2\n'
)
# what a plant must see of the first camera while a process of that part is away
_SHOWN = {
    "supervisor": Shown.SILENT,
    "frames": Shown.UNKNOWN,
    "plant": Shown.SILENT,
    "opcua": Shown.WATCHED,
    "recorder": Shown.WATCHED,
    "decoders": Shown.HONEST,
}
_HANG_S = 15.0  # of silence, after which the supervisor kills


def rows(kills: int, seed: int) -> Iterator[Fault]:
    """One row for each part and signal, then as many more at random as make up `kills`."""
    named = [(role, number) for role in _SHOWN for number in (signal.SIGKILL, signal.SIGSTOP)]
    dice = random.Random(seed)
    for role, number in [*named, *(dice.choice(named) for _ in range(kills - len(named)))][:kills]:
        yield _row(role, number, dice)


def _row(role: str, number: signal.Signals, dice: random.Random) -> Fault:
    stopped = number is signal.SIGSTOP
    # half of what is stopped goes on by itself, half must be found and killed
    pause_s = dice.choice((dice.uniform(2.5, 6.0), None)) if stopped else None
    wait_s = dice.uniform(0.0, 3.0)
    shown = _SHOWN[role]
    if role == "supervisor" and stopped:
        shown = Shown.WATCHED  # it only starts and ends the others

    @contextlib.contextmanager
    def do(rig: Rig) -> Iterator[float]:
        time.sleep(wait_s)
        rig.process(role)
        pid = dice.choice(rig.processes(role))
        os.kill(pid, number)
        yield time.monotonic()
        if role == "supervisor":
            _as_an_init_does(rig, pid, number)
        elif pause_s is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        if role == "opcua":
            serves_opcua(rig, within_s=_HANG_S + 60)
        if role == "recorder":
            rig.process(role)

    hold_s = 4.0
    return Fault(
        group="processes",
        name=f"{role} {'stopped' if stopped else 'killed'}",
        how=f"{number.name} at a random moment",
        setting=_SETTING,
        do=do,
        # who is killed and started again may be back within two seconds
        shown=Shown.HONEST if not stopped and role in ("frames", "plant") else shown,
        other=Shown.WATCHED if shown is Shown.WATCHED else Shown.HONEST,
        hold_s=hold_s if pause_s is None else max(hold_s, pause_s),
        recover_s=120.0,
    )


def _as_an_init_does(rig: Rig, pid: int, number: signal.Signals) -> None:
    """Systemd restarts the daemon when its watchdog or its process says so; here we are it."""
    if number is signal.SIGSTOP:
        os.kill(pid, signal.SIGKILL)
    until_s = time.monotonic() + 10
    while not rig.daemon.has_ended:
        if time.monotonic() > until_s:
            raise WrongError("the supervisor does not end")
        time.sleep(0.05)
    rig.daemon.start()
