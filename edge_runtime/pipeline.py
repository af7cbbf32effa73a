"""The frames process: newest frame of each camera in turn -> mask -> leak state -> plant.

One thread, the worker, owns the model and with it any CUDA context. A second one, the status
thread, publishes twice a second from time alone, so that a camera that fell silent or a worker that
hangs becomes *unknown* at the plant without the worker's help.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from contract.errors import DeviceError, EngineError, GasedgeError, InputError
from contract.tags import HealthCode
from edge_runtime.beat import HUNG, SERVING, STARTING
from edge_runtime.camera_state import ModelFacts, camera_state_of
from edge_runtime.device.upkeep import Upkeep
from edge_runtime.drill import Drill
from edge_runtime.latest import LatestFrame
from edge_runtime.leaks.judge import LeakJudge
from edge_runtime.lines import Flight, Line
from edge_runtime.reconnect import back_off_s
from edge_runtime.shadow import Shadow, open_shadow
from edge_runtime.showing import Showing
from edge_runtime.sources.reader import CameraReader, Phase
from edge_runtime.succession import Succession
from edge_runtime.view_memory import ViewMemory

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    import numpy as np
    from numpy.typing import NDArray

    from contract.geometry import FrameFit
    from contract.segmenter import Segmentation
    from contract.tags import CameraSnapshot
    from edge_runtime.config import CameraConfig, DaemonConfig, ModelConfig
    from edge_runtime.drill import DrillReport
    from edge_runtime.frames import Frame
    from edge_runtime.model import RunningModel
    from edge_runtime.overlay_video import OverlayVideo
    from edge_runtime.showing import Link, RawLink

    Told = Callable[[Frame, NDArray[np.uint8], FrameFit], None]

__all__ = ["NEW_PROCESS", "STATUS_S", "Pipeline", "Standing"]

_log = logging.getLogger(__name__)

NEW_PROCESS = DeviceError.exit_code  # exit code that asks for a new process
STATUS_S = 0.25
"""Seconds between two looks of the status thread."""
_GATHER_S = 0.005  # how long a run waits for the pictures of further cameras
_HUNG_S = 20.0
_OPENING_S = 240.0  # of two models at most; what takes longer, a build, has its own process
_LAST_WORDS_S = 0.3  # for the link to hand over the last snapshot
_RETRY_S = 0.1
_OLD_NAME_S = 2.0  # a camera without a frame since the switch is told the new model's name then
_HOPELESS = 3  # attempts on a replay that never gave a frame


@dataclass(frozen=True, slots=True)
class Standing:
    """How the running model does."""

    segmented_s: float | None  # when it last gave a mask, monotonic
    run_s: float | None  # time of a run from its start to its masks, smoothed
    faults: HealthCode  # of all cameras that are not simply lost
    manifest_sha256: str = ""  # of the model that this is about; "" while none serves


class Pipeline:
    """Serves all cameras of a configuration until stopped.

    Args:
        config: the daemon's configuration, paths resolved.
        link: to the plant.
        open_model: opens the model and lets it prove itself.
        video: takes the first camera's overlay, too.
        folder: of this daemon alone, where cameras' views outlive a process; None forgets them.
        raw_link: takes the picture behind each overlay that is shown, as evidence.
        sysfs: where the device's temperature is read.
    """

    def __init__(
        self,
        config: DaemonConfig,
        link: Link,
        *,
        open_model: Callable[[ModelConfig], RunningModel],
        video: OverlayVideo | None = None,
        folder: Path | None = None,
        raw_link: RawLink | None = None,
        sysfs: Path = Path("/sys"),
    ) -> None:
        self._config = config
        self._link = link
        self._open_model = open_model
        self._folder = folder
        self._showing = Showing(config, link, raw_link, video)
        self._facts = ModelFacts()
        self._arrived = threading.Event()
        self._may_replay = threading.Event()
        self._busy_since_s: float | None = None
        self._opening_since_s: float | None = None
        self._told_s: float | None = None  # when the status thread last came round
        self._broken = False
        self.failure = ""  # of the backend, where it ended `run`
        self._succession = Succession()
        self._switched_s = float("-inf")
        self._listeners: tuple[Told, ...] = ()
        self._segmented_s: float | None = None
        self._run_s: float | None = None
        self._serves = ""  # manifest
        self._shadow: Shadow | None = None
        self._turn = 0  # the line that is asked first
        self._lines = [self._line(each, unit) for unit, each in enumerate(config.camera, start=1)]
        self._asked = False  # whether the last run was of a golden frame
        seen = {line.camera.name: line.state.seen_view for line in self._lines}
        self._upkeep = Upkeep(config.device, config.plant.state_dir, seen, sysfs=sysfs)

    @property
    def is_hung(self) -> bool:
        """Whether the worker has been on one frame for far too long."""
        since_s = self._busy_since_s
        return since_s is not None and time.monotonic() - since_s > _HUNG_S

    def take_over(self, model: RunningModel, *, wait_s: float) -> bool:
        """Serve every later frame with `model`, which the pipeline closes from then on.

        Frames that are under way are still answered by the model before; it is closed after them.

        Returns:
            Whether it was taken; if not, the caller still has it.
        """
        return self._succession.offer(model, wait_s=wait_s, wake=self._arrived.set)

    def listen(self, told: Told) -> Callable[[], None]:
        """Call `told` with each segmented frame, in the worker; the answer ends that."""
        self._listeners = (*self._listeners, told)

        def end() -> None:
            self._listeners = tuple(each for each in self._listeners if each is not told)

        return end

    @property
    def standing(self) -> Standing:
        """How the running model does."""
        serves = self._serves  # first: what is read after it is never of the model before
        faults = HealthCode(0)
        for line in self._lines:
            faults |= line.code
        return Standing(self._segmented_s, self._run_s, faults, serves)

    def word(self, now_s: float) -> bytes:
        """What the frames process may say of itself: capture, inference and publishing at once.

        A camera that gives no picture is no reason to be silent: its reader comes round, tries
        again and is told to the plant. A thread that does not come round is.
        """
        told_s = self._told_s
        if told_s is None:
            return STARTING
        opening_s = self._opening_since_s
        silent = now_s - told_s > _HUNG_S or (
            opening_s is not None and now_s - opening_s > _OPENING_S
        )
        stuck = any(line.reader.is_hung(now_s) for line in self._lines)
        return HUNG if silent or stuck or self.is_hung else SERVING

    def begin_drill(self, camera: str, seconds: float) -> str:
        """Lay a made-up leak beside what a camera sees; why not, or ""."""
        line = next((each for each in self._lines if each.camera.name == camera), None)
        if line is None:
            names = ", ".join(each.camera.name for each in self._lines)
            return f"there is no camera {camera}; there is {names}"
        rule = self._config.leak_of(line.camera)
        judge = LeakJudge(rule, line.camera.zone, line.camera.ignore)
        drill = Drill(judge, rule, begin_ns=time.monotonic_ns(), seconds=seconds)
        return line.state.begin_drill(drill)

    def drill(self, camera: str) -> DrillReport | None:
        """How a camera's last drill stands; None before the first."""
        return next(each.state.drill for each in self._lines if each.camera.name == camera)

    def end_drill(self, camera: str, why: str) -> None:
        """End a camera's drill, if one is on."""
        next(each.state for each in self._lines if each.camera.name == camera).end_drill(why)

    def run(self, stop: threading.Event, *, until_end: bool = False) -> int:
        """Serve until `stop` is set.

        Args:
            stop: set by anybody.
            until_end: return when every source came to its end.

        Returns:
            0, or `NEW_PROCESS` when the backend failed and needs one.

        Raises:
            GasedgeError: with `until_end`, when there is no valid model or a source never gave a
                frame.
        """
        status = threading.Thread(
            target=self._publish_status, args=(stop,), name="gasedge-status", daemon=True
        )
        with contextlib.ExitStack() as cleanup:
            if self._folder is not None:
                states = {line.camera.name: line.state for line in self._lines}
                views = {name: state.learned_view for name, state in states.items()}
                memory = cleanup.enter_context(ViewMemory(self._folder, views))
                for name, state in states.items():
                    state.recall(memory.recall(name))
            cleanup.enter_context(self._upkeep)
            status.start()
            cleanup.callback(status.join)
            cleanup.callback(stop.set)
            for line in self._lines:
                cleanup.enter_context(line.reader)
            model = self._opened_model(stop, until_end=until_end)
            if model is None:
                return NEW_PROCESS if self._broken else 0
            self._succession.model = model
            self._serves = model.manifest_sha256
            cleanup.callback(self._close_models)
            self._compare_with(model)
            self._may_replay.set()
            try:
                self._serve(stop, until_end=until_end)
            except (EngineError, DeviceError) as error:
                _log.critical("the backend failed, a new process is needed: %s", error)
                self.failure = str(error)
                failed = self._succession.model or model
                self._facts = replace(failed.facts, fault=HealthCode.MODEL_INVALID)
                self._switched_s = float("-inf")
                self._publish_all()
                stop.wait(_LAST_WORDS_S)
                return NEW_PROCESS
            return NEW_PROCESS if self._broken else 0

    def _line(self, camera: CameraConfig, unit: int) -> Line:
        uri = camera.uri()
        slot = LatestFrame(self._arrived)
        state = camera_state_of(self._config, camera, unit)
        # a replay would be half over by the time a model is loaded
        may_begin = self._may_replay if uri.is_test else None
        # a GPU makes the network's input of any layout by itself
        native = self._config.model.on_gpu
        reader = CameraReader(camera.name, uri, slot, may_begin=may_begin, native=native)
        return Line(camera, slot, reader, state, uri.every)

    def _opened_model(self, stop: threading.Event, *, until_end: bool) -> RunningModel | None:
        """The model, once it can be believed; until then the plant is told that it cannot."""
        failures = 0
        while not stop.is_set():
            handed = self._succession.take()
            if handed is not None:
                self._facts = handed.facts
                return handed
            try:
                model = self._opened_once()
            except DeviceError:
                raise
            except (GasedgeError, OSError) as error:  # a bad disk, too, is no reason to end
                if until_end:
                    raise  # somebody waits for the end
                failures += 1
                delay_s = back_off_s(failures, random.random(), base_s=2.0)
                _log.error("no valid model: %s; next attempt in %.1f s", error, delay_s)
                self._facts = ModelFacts(fault=HealthCode.MODEL_INVALID)
                until_s = time.monotonic() + delay_s
                while (
                    not stop.is_set()
                    and time.monotonic() < until_s
                    and not self._succession.is_pending
                ):
                    stop.wait(_RETRY_S)
            else:
                self._facts = model.facts
                return model
        return None

    def _opened_once(self) -> RunningModel:
        self._opening_since_s = time.monotonic()
        try:
            return self._open_model(self._config.model)
        finally:
            self._opening_since_s = None

    def _model_for_the_next(self, flights: Collection[Flight]) -> RunningModel:
        """Let a successor take over, and close who has answered its last frame."""
        if self._succession.is_pending:
            self._switch(self._succession.take())
            self._succession.release([flight.model for flight in flights])
        return cast("RunningModel", self._succession.model)

    def _switch(self, successor: RunningModel | None) -> None:
        if successor is not None:
            for line in self._lines:
                with line.publishing:  # what is told meanwhile is of the model before
                    line.before = line.before or self._facts
                    line.state.new_network()
                    line.code = HealthCode(0)
            self._run_s = self._segmented_s = None
            self._serves = successor.manifest_sha256
            self._switched_s, self._facts = time.monotonic(), successor.facts
            self._compare_with(successor)
            _log.warning("%s takes over, on %s", successor.facts.model_id, successor.facts.backend)

    def _compare_with(self, model: RunningModel) -> None:
        """Begin to compare pictures and masks as `[drift]` says."""
        drift, bundle = self._config.drift, model.bundle
        if not drift.every or bundle is None:
            return
        if self._shadow is not None:
            self._succession.close_beside(self._shadow.close)
        opened = partial(open_shadow, model.config or self._config.model, drift, bundle)
        self._shadow = Shadow(drift.every, opened).__enter__()

    def _close_models(self) -> None:
        """Close everything that a model was opened for."""
        if self._shadow is not None:
            self._shadow.close()
        self._succession.close()

    def _serve(self, stop: threading.Event, *, until_end: bool) -> None:
        """Keep the network busy: a mask is judged while the next ones are computed."""
        flights: deque[Flight] = deque()
        while not stop.is_set():
            # whatever this turn hangs in, it began no later than this
            self._busy_since_s = flights[0].since_s if flights else time.monotonic()
            # looked at before the slots: a frame that came before the end is still taken
            ended = until_end and self._all_ended()
            done = flights.popleft() if flights and flights[0].run.is_done() else None
            found = done.run.result() if done is not None else []
            under_way = len(flights)
            model = self._model_for_the_next((*flights, done) if done else flights)
            while len(flights) < model.depth and (flight := self._next_flight(model)):
                flights.append(flight)
            if done is not None:
                self._take_in(done, found)
            elif not flights and ended:
                break
            elif len(flights) == under_way:  # gathering may have missed that a run is done
                if not flights:
                    self._busy_since_s = None
                self._arrived.wait(0.1)
                self._arrived.clear()
        for flight in flights:
            flight.run.result()
        self._publish_all()  # what the last frames said
        serving = self._succession.model
        figures = getattr(serving.segmenter, "figures", None) if serving else None
        if figures is not None:
            _log.info("the backend's own counts: %s", figures())

    def _take_in(self, done: Flight, found: list[Segmentation]) -> None:
        if not done.frames:
            self._upkeep.answer(found[0].mask[0])
            return
        self._timed(done)
        for (line, frame), segmentation in zip(done.frames, found, strict=True):
            self._judge(line, frame, segmentation, done.model)

    def _next_flight(self, model: RunningModel) -> Flight | None:
        """Pictures, or a golden frame between two turns of them; None while there is neither."""
        if fault := self._upkeep.fault_of(model):
            raise EngineError(fault)
        question = None if self._asked else self._upkeep.question(model)
        self._asked = question is not None
        taken = [] if question is not None else self._gathered(model)
        pictures = [frame.picture for _, frame in taken]
        if question is not None:
            pictures = [question]
        if not pictures:
            return None
        return Flight(taken, model.start(pictures, self._arrived.set), model)

    def _timed(self, done: Flight) -> None:
        if done.model is not self._succession.model:
            return
        now_s = time.monotonic()
        took_s = now_s - done.since_s
        self._segmented_s = now_s
        self._run_s = took_s if self._run_s is None else self._run_s + 0.05 * (took_s - self._run_s)

    def _gathered(self, model: RunningModel) -> list[tuple[Line, Frame]]:
        """Frames for the next run, of the lines in turn; bad pictures are told and left out."""
        taken: list[tuple[Line, Frame]] = []
        until_s: float | None = None
        while True:
            for _ in self._lines:
                line = self._lines[self._turn]
                self._turn = (self._turn + 1) % len(self._lines)
                frame = self._due(line)
                if frame is None:
                    continue
                if line.state.saw(frame):
                    taken.append((line, frame))
                    if len(taken) == model.batch:
                        return taken
                else:
                    snapshot = self._publish(line)
                    self._showing.show(line.camera, line.state, frame, None, snapshot)
            now_s = time.monotonic()
            until_s = now_s + _GATHER_S if until_s is None else until_s
            reading = sum(line.reader.status.phase is Phase.READING for line in self._lines)
            if not taken or now_s >= until_s or len(taken) >= reading:
                return taken
            self._arrived.wait(until_s - now_s)
            self._arrived.clear()

    def _due(self, line: Line) -> Frame | None:
        """The newest picture of a line, where enough have come since the last that was taken."""
        every = 1 if line.every else self._upkeep.every
        if line.reader.status.captured - line.taken < every:
            return None  # it is left where newer ones replace it, which is counted
        frame = line.slot.take()
        if frame is not None:
            line.taken = frame.seq
        return frame

    def _judge(
        self, line: Line, frame: Frame, segmentation: Segmentation, model: RunningModel
    ) -> None:
        height, width = frame.picture.shape[:2]
        fit = model.segmenter.geometry.of(width, height)
        mask = segmentation.mask[0]
        now_s = time.monotonic()
        line.state.segmented(
            frame,
            mask,
            segmentation.score[0],
            fit,
            now_s,
            model_sha256=model.facts.sha256,
            cells=segmentation.cells,
        )
        if model is self._succession.model:
            line.before = None
            if self._shadow is not None:
                self._shadow.offer(line.state, frame, mask, fit)
        for told in self._listeners:
            told(frame, mask, fit)
        if line.state.is_due(now_s) or self._showing.is_due(line.camera.name, now_s):
            snapshot = self._publish(line)
            self._showing.show(line.camera, line.state, frame, mask[fit.valid], snapshot)

    def _publish(self, line: Line) -> CameraSnapshot:
        # one at a time: an older snapshot must not overtake a newer one on its way to the link
        with line.publishing:
            now_s = time.monotonic()
            before = line.before if now_s - self._switched_s < _OLD_NAME_S else None
            snapshot = line.state.snapshot(
                now_s, line.reader.status, before or self._facts, line.slot.dropped
            )
            line.code = HealthCode(cast("int", snapshot.values["Health/Code"]))
            self._link.publish(snapshot)
        return snapshot

    def _publish_all(self) -> None:
        for line in self._lines:
            self._showing.show_blindness(self._publish(line))

    def _publish_status(self, stop: threading.Event) -> None:
        try:
            while not stop.wait(STATUS_S):
                self._upkeep.tick(time.monotonic(), time.time(), self._succession.model)
                for line in self._lines:
                    line.state.kept_up(*self._upkeep.word(line.camera.name, time.time()))
                self._publish_all()
                self._told_s = time.monotonic()
        except Exception:  # noqa: BLE001 - whatever it is, it must not go unnoticed
            # without this thread a lost camera would go unnoticed: a new process is better
            _log.exception("the status thread failed")
            self._broken = True
            stop.set()

    def _all_ended(self) -> bool:
        for line in self._lines:
            status = line.reader.status
            if not status.captured and status.failures >= _HOPELESS:
                raise InputError(f"camera {line.camera.name}: {status.detail}")
        return all(line.reader.status.phase is Phase.ENDED for line in self._lines)
