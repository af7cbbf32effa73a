"""Models that must not run: changed, strange, old, and engines that find nothing or the wrong."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from typing import TYPE_CHECKING

from contract.bundle import graph_name
from contract.packages import need
from contract.precision import Precision
from contract.tags import HealthCode
from edge_runtime.slots.store import SlotStore

from .fault import Fault
from .network import altered_copy, signed
from .reading import Shown
from .rig import Rig, Setting
from .wrong import WrongError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

__all__ = ["bundles", "engines", "updates"]

_SETTING = Setting("model", own_bundle=True)
_SLOTS = Setting(
    "slots", own_bundle=True, slots=True, tables="[update]\nprobation_s = 2\nshadow_s = 5\n"
)
_PROBATION_S = 60.0  # two seconds of masks, and what a busy machine adds


def bundles() -> Iterator[Fault]:
    """What somebody may put in the place of a signed bundle."""
    yield _row("bundles", "one byte changed", "a bit of the graph is turned", _flip, "SHA-256")
    yield _row("bundles", "manifest changed", "a space more in the manifest", _space, "sign")
    yield _row("bundles", "unsigned", "the signature is removed", _unsign, "not signed")
    yield _row("bundles", "swapped", "another bundle, signed by another key", _strange, "sign")
    yield _row("bundles", "old one", "a signed bundle with a lower counter", _older, "too old")


def engines() -> Iterator[Fault]:
    """Networks that are signed and give wrong answers."""
    for how, text in (
        ("zeros", "a signed graph that finds nothing"),
        ("swapped classes", "a signed graph that takes gas for machines"),
    ):
        yield _row("engines", how, text, _altered(how.split()[0]), "known-answer test not passed")


def updates() -> Iterator[Fault]:
    """The same, brought by `gasedge apply` to a daemon that runs."""
    for name, how, change, said in (
        ("one byte changed", "a bit of the graph is turned", _flip, "SHA-256"),
        ("swapped", "another bundle, signed by another key", _strange, "sign"),
        ("old one", "a signed bundle with a lower counter", _older, "too old"),
        ("zeros", "a signed graph that finds nothing", _altered("zeros"), "known-answer"),
    ):
        yield Fault(
            "updates",
            name,
            f"{how}; given to gasedge apply",
            _SLOTS,
            _applied(change, said),
            Shown.WATCHED,
            hold_s=2.0,
            recover_s=60.0,
        )


def _applied(
    change: Callable[[Path], None], said: str
) -> Callable[[Rig], AbstractContextManager[float]]:
    @contextlib.contextmanager
    def do(rig: Rig) -> Iterator[float]:
        until_s = time.monotonic() + _PROBATION_S
        while SlotStore(rig.folder / "slots").read().least_counter == 0:
            if time.monotonic() > until_s:
                raise WrongError("the model that runs was not confirmed within a minute")
            time.sleep(0.2)
        offered = rig.bundle.with_name("offered.gasedge")
        shutil.copytree(rig.bundle, offered)
        try:
            change(offered)
            begin_s = time.monotonic()
            done = rig.gasedge("apply", offered, rig.daemon.config)
            if done.returncode != 1 or said not in done.stderr + done.stdout:
                raise WrongError(f"gasedge apply ended with {done.returncode}: {done.stderr}")
            yield begin_s
        finally:
            shutil.rmtree(offered)

    return do


def _row(group: str, name: str, how: str, change: Callable[[Path], None], said: str) -> Fault:
    return Fault(
        group,
        name,
        f"{how}; the frames process starts anew",
        _SETTING,
        _replaced(change, said),
        Shown.UNKNOWN,
        HealthCode.MODEL_INVALID,
        other=Shown.HONEST,
        hold_s=4.0,
        recover_s=90.0,
    )


def _replaced(
    change: Callable[[Path], None], said: str
) -> Callable[[Rig], AbstractContextManager[float]]:
    @contextlib.contextmanager
    def do(rig: Rig) -> Iterator[float]:
        kept = rig.bundle.with_name("kept")
        shutil.copytree(rig.bundle, kept)
        heard = rig.daemon.log.stat().st_size
        change(rig.bundle)
        try:
            os.kill(rig.process("frames"), signal.SIGKILL)
            # until it starts nothing is known: the judgement begins with the look at the model
            if not rig.told(HealthCode.MODEL_INVALID, 60):
                raise WrongError("MODEL_INVALID was not told within a minute")
            yield time.monotonic()
            if not rig.said(said, since=heard):
                raise WrongError(f"the log does not say {said!r}")
        finally:
            shutil.rmtree(rig.bundle)
            kept.rename(rig.bundle)

    return do


def _flip(bundle: Path) -> None:
    with (bundle / graph_name(Precision.FP32)).open("r+b") as graph:
        graph.seek(100)
        byte = graph.read(1)[0]
        graph.seek(100)
        graph.write(bytes([byte ^ 1]))


def _space(bundle: Path) -> None:
    manifest = bundle / "manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b" ")


def _unsign(bundle: Path) -> None:
    (bundle / "manifest.sig").unlink()


def _strange(bundle: Path) -> None:
    ed25519 = need("cryptography.hazmat.primitives.asymmetric.ed25519", extra="cpu")
    key = bundle.with_suffix(".pub")
    before = key.read_bytes() if key.exists() else None
    signed(bundle, key=ed25519.Ed25519PrivateKey.generate())
    key.unlink() if before is None else key.write_bytes(before)


def _older(bundle: Path) -> None:
    """The one that runs has counter 2: see `Rig`."""
    older = bundle.with_name("older.gasedge")
    shutil.rmtree(bundle)
    shutil.copytree(older, bundle)


def _altered(how: str) -> Callable[[Path], None]:
    def change(bundle: Path) -> None:
        altered = altered_copy(bundle, bundle.with_name("altered.gasedge"), how)
        shutil.rmtree(bundle)
        altered.rename(bundle)

    return change
