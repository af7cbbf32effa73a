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

from contract.errors import ConfigError, GasedgeError, InputError, NotKeptError
from edge_runtime.door import Door
from edge_runtime.pixels import bgr_of
from edge_runtime.plant.private_socket import read_request
from edge_runtime.slots.probation import Probation
from edge_runtime.slots.state import SLOT_NAMES, Condition
from edge_runtime.slots.store import now_utc
from edge_runtime.slots.tap import FrameTap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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
_AGAIN_S = 60.0  # to open the model before costs frames, and what kept it from it may last
_NOT_TAKEN = f"the frames process did not take the model within {_TAKE_S:g} s"


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
        self._again_s = float("-inf")  # when the way back may be tried again
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
            ask, who = str(wish["ask"]), str(wish.get("who") or "somebody")[:64]
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
        return {"run_ms": run_ms, "good_s": good_s, "serves": standing.manifest_sha256}

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One switch at a time; one that hangs keeps nobody waiting."""
        if not self._switching.acquire(timeout=_TAKE_S):
            raise InputError(
                f"another switch is under way for {_TAKE_S:g} s; see the daemon's log, and start "
                "gasedge run anew if it does not end"
            )
        try:
            yield
        finally:
            self._switching.release()

    def _switch_to(self, named: str, manifest: str, who: str) -> dict[str, Any]:
        """Open the model of a slot, which must be the one of `manifest`, and let it take over."""
        with self._alone():
            slot = _idle_slot_of(self._store.read(), named, manifest)
            try:
                model = self._opened(slot)
            except GasedgeError as error:
                why = str(error)
                with contextlib.suppress(NotKeptError):  # the fault itself is what is told
                    self._store.change(lambda s: s.failed(slot, why, at=now_utc(), who=who))
                raise
            before = self._pipeline.standing
            ms = None if before.run_s is None else before.run_s * 1e3

            def switched(slots: Slots) -> Slots:
                held = _idle_slot_of(slots, named, manifest)  # an apply may have come between
                return slots.switched(held, who=who, at=now_utc(), frame_ms=ms)

            with _closed_if_it_fails(model):
                self._store.change(switched)  # a power cut from here on starts with the new one
            if not self._is_taken(model):
                self._store.change(
                    lambda s: s.rolled_back(_NOT_TAKEN, at=now_utc(), of=manifest) if s.other else s
                )
                raise InputError(_NOT_TAKEN)
            return self._served(model)

    def _go_back(self, who: str, why: str, of: str | None = None) -> dict[str, Any]:
        """Let the model of the other slot take over again, and that of manifest `of` go."""
        with self._alone():
            slots = self._store.read()
            if slots.running is None or slots.other is None:
                raise ConfigError("there is no model to go back to")
            goes = of or slots.running.manifest_sha256

            def back(slots: Slots) -> Slots:
                return slots.rolled_back(why, at=now_utc(), who=who, of=goes)

            back(slots)  # whether another has gone back meanwhile
            model, refused = self._opened(slots.other), ""
            with _closed_if_it_fails(model):
                try:
                    self._store.change(back)
                except NotKeptError as error:  # what is bad must not go on for a full disk
                    refused = f"{model.facts.model_id} runs again until the next start: {error}"
            if not self._is_taken(model):  # what is kept stands: it is the good one
                kept = "; it runs from the next start of gasedge run on"
                raise InputError(_NOT_TAKEN + ("" if refused else kept))
            if refused:
                raise InputError(refused)
            return self._served(model)

    def _is_taken(self, model: RunningModel) -> bool:
        """Whether the pipeline takes the model, which is closed if not."""
        with _closed_if_it_fails(model):
            taken = self._pipeline.take_over(model, wait_s=_TAKE_S)
        if not taken:
            model.close()
        return taken

    def _served(self, model: RunningModel) -> dict[str, Any]:
        """Wait for the first mask of a model that took over."""

        def segments() -> bool:
            standing = self._pipeline.standing
            serves = standing.manifest_sha256 == model.manifest_sha256
            return serves and standing.segmented_s is not None

        until_s = time.monotonic() + _FIRST_FRAME_S
        while not segments() and time.monotonic() < until_s:
            time.sleep(0.02)
        return {
            "model_id": model.facts.model_id,
            "sha256": model.facts.sha256,
            "segments": segments(),
        }

    def _look(self) -> None:
        """Follow a trial."""
        try:
            slots, standing = self._store.read(), self._pipeline.standing
            facts = slots.running
            if facts is None or facts.condition is not Condition.TRIAL:
                self._trial = None
                return
            manifest = facts.manifest_sha256
            if standing.manifest_sha256 not in ("", manifest):  # it waits for the next start
                self._trial = None
                return
            if self._trial is None or self._trial[0] != manifest:
                self._trial = manifest, Probation(self._update, facts.frame_ms)
                self._was_steady, self._again_s = False, float("-inf")
            self._judge(manifest, self._trial[1], slots, standing)
        except GasedgeError as error:
            _log.error("the trial of a model cannot be followed: %s", error)
        except Exception:  # noqa: BLE001 - without the door nobody could go back by hand either
            _log.exception("the trial of a model cannot be followed")

    def _judge(self, manifest: str, trial: Probation, slots: Slots, standing: Standing) -> None:
        now_s = time.monotonic()
        why = trial.take(now_s, standing)
        if why:
            if slots.other is not None and now_s >= self._again_s:
                self._again_s = now_s + _AGAIN_S
                _log.error("%s goes back: %s", slots.running, why)
                self._go_back("", why, of=manifest)
        elif trial.is_over:
            after = self._store.change(lambda s: s.confirmed(manifest, at=now_utc()))
            if after.runs(manifest):
                self._confirmed(after.least_counter)
                _log.warning("%s is confirmed", after.running)
        elif trial.is_steady and not self._was_steady:
            self._store.change(lambda s: s.steady(manifest))
            self._was_steady = True


@contextlib.contextmanager
def _closed_if_it_fails(model: RunningModel) -> Iterator[None]:
    try:
        yield
    except BaseException:
        model.close()
        raise


def _idle_slot_of(slots: Slots, named: str, manifest: str) -> SlotName:
    """The slot of that name, which must hold that manifest and not run."""
    slot = next((each for each in SLOT_NAMES if each == named), None)
    facts = None if slot is None else slots.slots.get(slot)
    if slot is None or facts is None or facts.manifest_sha256 != manifest:
        raise ConfigError(f"{named[:20]!r} does not hold manifest {manifest[:12]!r}")
    if slot == slots.active:
        raise ConfigError(f"{slot} runs already")
    return slot
