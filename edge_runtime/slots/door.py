"""Where `gasedge apply` speaks to the running daemon, and where a model on trial is watched.

A private socket in the folder of slots; each connection asks for one thing, in a line of JSON:
single frames with the running model's masks, the switch to another slot, or the way back.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from contract.errors import ConfigError, GasedgeError, InputError
from edge_runtime.door import Door
from edge_runtime.pixels import bgr_of
from edge_runtime.plant.private_socket import read_request
from edge_runtime.slots.probation import Probation
from edge_runtime.slots.state import SLOT_NAMES, Condition
from edge_runtime.slots.store import now_utc
from edge_runtime.slots.tap import FrameTap

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge_runtime.model import RunningModel
    from edge_runtime.pipeline import Standing, Told
    from edge_runtime.slots.config import UpdateConfig
    from edge_runtime.slots.state import SlotName, Slots
    from edge_runtime.slots.store import SlotStore

__all__ = ["SlotDoor", "Switchable", "slot_door_path"]

_log = logging.getLogger(__name__)

_FRAME_WAIT_S = 1.0
_LEAST_S = 0.02  # between two frames that are handed out, whoever asks how fast
_TAKE_S = 30.0  # for the worker to take a model
_FIRST_FRAME_S = 10.0
_LOOK_S = 1.0


def slot_door_path(folder: Path) -> Path:
    """The socket, in a folder that nobody else may enter."""
    return folder / "door" / "apply.sock"


class Switchable(Protocol):
    """What serves frames: the pipeline."""

    def take_over(self, model: RunningModel, *, wait_s: float) -> bool:
        """Serve every later frame with `model`; whether it was taken."""

    def listen(self, told: Told) -> Callable[[], None]:
        """Call `told` with each segmented frame; the answer ends that."""

    @property
    def standing(self) -> Standing:
        """How the running model does."""


class SlotDoor(Door):
    """Serves the socket and follows a trial in a thread of its own; a context manager.

    Args:
        store: the slots.
        pipeline: serves the frames.
        opened: opens the model of a slot and lets it prove itself.
        update: limits.
        confirmed: is told the rollback counter of a model that became good.
    """

    def __init__(
        self,
        store: SlotStore,
        pipeline: Switchable,
        opened: Callable[[SlotName], RunningModel],
        update: UpdateConfig,
        confirmed: Callable[[int], None],
    ) -> None:
        self._store, self._pipeline, self._opened = store, pipeline, opened
        self._update, self._confirmed = update, confirmed
        self._switching = threading.Lock()
        self._trial: tuple[str, Probation] | None = None  # of a manifest
        self._was_steady = False
        super().__init__(
            slot_door_path(store.folder),
            name="gasedge-slot-door",
            lost="no model can be applied while this runs",
        )

    async def _while_open(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stop.wait(), _LOOK_S)
                break
            await self._loop.run_in_executor(None, self._look)

    async def _asked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            wish = await read_request(reader)
            ask, who = str(wish["ask"]), str(wish.get("who", ""))[:64]
            slot, manifest = str(wish.get("slot", "")), str(wish.get("manifest_sha256", ""))
        except (InputError, KeyError):
            ask = who = slot = manifest = ""
        doings: dict[str, Callable[[], dict[str, Any]]] = {
            "switch": partial(self._switch_to, slot, manifest, who),
            "rollback": partial(self._go_back, who, "asked for"),
            "standing": self._standing,
        }
        if ask == "frames":
            await self._hand_frames(reader, writer)
            return
        try:
            if ask not in doings:
                raise InputError("that is no request for a model")
            said = await self._loop.run_in_executor(None, doings[ask])
        except GasedgeError as error:
            said = {"refused": str(error)}
        writer.write(json.dumps(said).encode() + b"\n")
        await writer.drain()

    async def _hand_frames(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer each byte with a frame, or with an empty line when there is none."""
        tap = FrameTap()
        end = self._pipeline.listen(tap)
        try:
            while await reader.read(1) and not self._stop.is_set():
                taken = await self._loop.run_in_executor(None, tap.next, _FRAME_WAIT_S)
                if taken is None:
                    writer.write(b"{}\n")
                    await writer.drain()
                    continue
                frame, mask, fit = taken
                picture = np.ascontiguousarray(bgr_of(frame.picture))
                classes = np.ascontiguousarray(mask[fit.valid])
                head = {
                    "camera": frame.camera,
                    "picture": picture.shape[:2],
                    "mask": classes.shape,
                }
                writer.write(json.dumps(head).encode() + b"\n")
                writer.write(picture.data.cast("B"))
                writer.write(classes.data.cast("B"))
                await writer.drain()
                await asyncio.sleep(_LEAST_S)
        finally:
            end()

    def _standing(self) -> dict[str, Any]:
        standing = self._pipeline.standing
        run_ms = None if standing.run_s is None else standing.run_s * 1e3
        trial = self._trial
        good_s = None if trial is None else trial[1].good_s
        return {"run_ms": run_ms, "good_s": good_s}

    def _switch_to(self, named: str, manifest: str, who: str) -> dict[str, Any]:
        """Open the model of a slot, which must be the one of `manifest`, and let it take over."""
        with self._switching:
            slot = next((each for each in SLOT_NAMES if each == named), None)
            slots = self._store.read()
            facts = None if slot is None else slots.slots.get(slot)
            if slot is None or facts is None or facts.manifest_sha256 != manifest:
                raise ConfigError(f"{named[:20]!r} does not hold manifest {manifest[:12]!r}")
            if slot == slots.active:
                raise ConfigError(f"{slot} runs already")
            try:
                model = self._opened(slot)
            except GasedgeError as error:
                why = str(error)
                self._store.change(lambda s: s.failed(slot, why, at=now_utc(), who=who))
                raise
            before = self._pipeline.standing
            ms = None if before.run_s is None else before.run_s * 1e3
            return self._hand_over(
                model, lambda s: s.switched(slot, who=who, at=now_utc(), frame_ms=ms)
            )

    def _go_back(self, who: str, why: str) -> dict[str, Any]:
        """Let the model of the other slot take over again."""
        with self._switching:
            slots = self._store.read()
            if slots.other is None:
                raise ConfigError("there is no model to go back to")
            model = self._opened(slots.other)
            return self._hand_over(model, lambda s: s.rolled_back(why, at=now_utc(), who=who))

    def _hand_over(self, model: RunningModel, rule: Callable[[Slots], Slots]) -> dict[str, Any]:
        """Keep what comes of `rule`, then switch: a power cut between starts with the new one."""
        try:
            self._store.change(rule)
            taken = self._pipeline.take_over(model, wait_s=_TAKE_S)
        except BaseException:
            model.close()
            raise
        if not taken:
            model.close()
            why = f"the frames process did not take the model within {_TAKE_S:g} s"
            self._store.change(lambda s: s.rolled_back(why, at=now_utc()) if s.other else s)
            raise InputError(why)
        until_s = time.monotonic() + _FIRST_FRAME_S
        while self._pipeline.standing.segmented_s is None and time.monotonic() < until_s:
            time.sleep(0.02)
        return {
            "model_id": model.facts.model_id,
            "sha256": model.facts.sha256,
            "segments": self._pipeline.standing.segmented_s is not None,
        }

    def _look(self) -> None:
        """Follow a trial."""
        try:
            slots = self._store.read()
            facts = slots.running
            if facts is None or facts.condition is not Condition.TRIAL:
                self._trial = None
                return
            if self._trial is None or self._trial[0] != facts.manifest_sha256:
                self._trial = facts.manifest_sha256, Probation(self._update, facts.frame_ms)
                self._was_steady = False
            self._judge(self._trial[1], slots)
        except GasedgeError as error:
            _log.error("the trial of a model cannot be followed: %s", error)

    def _judge(self, trial: Probation, slots: Slots) -> None:
        why = trial.take(time.monotonic(), self._pipeline.standing)
        if why and slots.other is not None:
            _log.error("%s goes back: %s", slots.running, why)
            self._go_back("", why)
        elif trial.is_over:
            after = self._store.change(lambda s: s.confirmed(at=now_utc()))
            self._confirmed(after.least_counter)
            _log.warning("%s is confirmed", after.running)
        elif trial.is_steady and not self._was_steady:
            self._was_steady = True
            self._store.change(lambda s: s.steady())
