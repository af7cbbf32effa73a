"""Everything that is known about one camera, and the snapshot of it that the plant may see.

The worker feeds it, the status thread asks it, so it holds a lock; it reads no clock.
"""

from __future__ import annotations

import importlib.metadata
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from contract.label_map import BACKGROUND, GAS_SMOKE
from contract.mask_encoding import encode_mask
from contract.tags import CameraSnapshot, HealthCode, LeakState, Ne107, Quality
from edge_runtime.drift import DriftTracker, ne107_with
from edge_runtime.leaks.judge import LeakJudge
from edge_runtime.sources.reader import Phase, ReaderStatus
from edge_runtime.supervision import CameraWatch, look_at, ne107_of, quality_of
from edge_runtime.view_watch import SeenView

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from contract.geometry import FrameFit
    from contract.tags import Value
    from edge_runtime.config import CameraConfig, DaemonConfig, HealthConfig
    from edge_runtime.drift import Sample
    from edge_runtime.drill import Drill, DrillReport
    from edge_runtime.frames import Frame
    from edge_runtime.leaks.judge import Judged
    from edge_runtime.view_watch import LearnedView

__all__ = ["CameraState", "ModelFacts", "camera_state_of"]

_RATE_WINDOW_S = 5.0
_LATENCIES = 256
_MASK_S = 0.5  # at most two masks a second
_TELL_S = 0.07  # between two snapshots of the same leak state; ten frames a second are all told
_OBSCURED = HealthCode.DARK | HealthCode.SATURATED | HealthCode.BLURRED | HealthCode.COVERED


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What runs, and whether it may be believed."""

    model_id: str = ""
    sha256: str = ""  # of the graph
    backend: str = ""
    fault: HealthCode = HealthCode.STARTING  # MODEL_INVALID, STARTING or none


class CameraState:
    """One camera's health, leak state and figures.

    Args:
        name: of the camera.
        unit_id: its Modbus unit.
        health: limits of its pictures.
        leaks: judges its masks.
        size: width and height that it must have, None for any.
        is_test: whether its frames come from a replay or a simulation.
        version: of gasedge.
        drift: follows how its pictures and masks drift; None where nobody compares them.
    """

    def __init__(
        self,
        name: str,
        unit_id: int,
        *,
        health: HealthConfig,
        leaks: LeakJudge,
        size: tuple[int, int] | None,
        is_test: bool,
        version: str,
        drift: DriftTracker | None = None,
    ) -> None:
        self.name = name
        self._unit_id = unit_id
        self._version = version
        self._is_test = is_test
        self._drift = drift
        self._drill: Drill | None = None
        self._lock = threading.Lock()
        self._watch = CameraWatch(health, size, replayed=is_test)
        self._watches_view = health.watch_view
        self._upkeep: dict[str, Value] = {"Frame/Every": 1}
        self._upkeep_warnings = HealthCode(0)
        self._judge = self._told_by = leaks
        self._judged: Judged | None = None  # what is told; None while nobody is looking
        self._seen: Judged | None = None  # the same, without what a drill makes up
        self._mask_data: bytes | None = None  # GEM1, published until another or nobody looks
        self._masked_s = 0.0
        self._told_state: LeakState | None = None
        self._told_s = float("-inf")
        self._last: Frame | None = None
        self._segmented: Frame | None = None
        self._times_s: deque[float] = deque(maxlen=2048)
        self._latencies_ms: deque[float] = deque(maxlen=_LATENCIES)
        self._heartbeat = 0
        self._beat_second = -1

    def learned_view(self) -> LearnedView | None:
        """The camera's view, once it is learned."""
        with self._lock:
            return self._watch.view.learned

    def seen_view(self, now_s: float) -> SeenView:
        """What the camera shows at `now_s`, for its daily check."""
        with self._lock:
            faults = self._watch.faults(now_s)
            return SeenView(faults, self._watch.view.learned, watched=self._watches_view)

    def recall(self, view: LearnedView | None) -> None:
        """Hold pictures against a view that was learned before, where there is one."""
        if view is not None:
            with self._lock:
                self._watch.view.recall(view)

    def saw(self, frame: Frame) -> bool:
        """Take in a picture; tell whether it is worth segmenting."""
        look = look_at(frame.picture) if self._watch.is_due(frame) else None
        with self._lock:
            before = self._last
            if before is not None and before.picture.shape != frame.picture.shape:
                self._forget()
            sane = self._watch.saw(frame, look)
            if self._watch.faults(frame.monotonic_ns / 1e9):
                self._forget()
            self._last = frame
            return sane

    def segmented(
        self,
        frame: Frame,
        mask: NDArray[np.uint8],
        score: NDArray[np.uint8],
        fit: FrameFit,
        now_s: float,
        *,
        model_sha256: str = "",
        cells: NDArray[np.uint32] | None = None,
    ) -> LeakState:
        """Take in what the network says of a picture.

        Args:
            frame: the picture.
            mask: (H, W) class indices, in the network's geometry.
            score: (H, W) gas-smoke probability, 0..255.
            fit: where the picture stands in them.
            now_s: when the mask was ready, monotonic.
            model_sha256: of the network, for the published mask.
            cells: of the mask and score, where the backend counted them.

        Returns:
            The leak state after it, as far as the frames go: health is for the snapshot to judge.
        """
        with self._lock:
            taken_s = frame.monotonic_ns / 1e9
            before = self._segmented
            blind_s = taken_s - before.monotonic_ns / 1e9 if before is not None else 0.0
            if blind_s > self._watch.lost_after_s:
                self._forget()
            judged = self._judge.update(
                frame.picture, mask, score, fit, taken_s, frame.captured_ns, cells
            )
            self._seen = self._judged = judged
            self._told_by, self._segmented = self._judge, frame
            if self._drill is not None:
                made_up = self._drill.take(frame, mask, score, fit, judged, round(now_s * 1e9))
                if made_up is not None:
                    self._judged, self._told_by = made_up, self._drill.judge
            self._times_s.append(now_s)
            self._latencies_ms.append((now_s - taken_s) * 1e3)
            if int(now_s) != self._beat_second and not self._watch.faults(now_s):
                self._beat_second = int(now_s)
                self._heartbeat = (self._heartbeat + 1) & 0xFFFF
            if self._mask_data is None or taken_s - self._masked_s >= _MASK_S:
                self._masked_s = taken_s
                self._mask_data = encode_mask(
                    self._judge.mask(),
                    frame_seq=frame.seq,
                    captured_ns=frame.captured_ns,
                    monotonic_ns=frame.monotonic_ns,
                    score=judged.gas.score,
                    state=judged.verdict.state.value,
                    model_sha256=model_sha256,
                )
            return self._judged.verdict.state

    def begin_drill(self, drill: Drill) -> str:
        """Lay a made-up leak beside what is seen.

        Returns:
            Why not; "" when it has begun.
        """
        with self._lock:
            if self._drill is not None and self._drill.is_on:
                return "a drill is on already"
            if self._seen is None or self._seen.verdict.state is LeakState.UNKNOWN:
                return "nobody is looking: the camera is blind, or has just started"
            if self._seen.first_sign is not LeakState.NONE:
                return f"the camera itself says {self._seen.first_sign.name.lower()}"
            self._drill = drill
            return ""

    def end_drill(self, why: str) -> None:
        """End a drill that is on."""
        with self._lock:
            if self._drill is not None:
                self._drill.end(why)

    @property
    def drill(self) -> DrillReport | None:
        """How the last drill stands; None before the first."""
        with self._lock:
            return self._drill.report if self._drill is not None else None

    def is_due(self, now_s: float) -> bool:
        """Whether a snapshot should go to the plant: at once when the leak state changed."""
        state = self._judged.verdict.state if self._judged is not None else None
        if state == self._told_state and 0 <= now_s - self._told_s < _TELL_S:
            return False
        self._told_state, self._told_s = state, now_s
        return True

    @property
    def judged(self) -> Judged | None:
        """What the last mask said; None while nobody is looking."""
        return self._judged

    def counted(self, classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The last mask's (height, width) classes of the valid field, with the gas that counts."""
        with self._lock:
            gas, made_up = self._told_by.mask(), self._told_by is not self._judge
        if gas.shape != classes.shape:
            return classes
        if made_up:
            classes = np.where(gas, np.uint8(GAS_SMOKE), classes)
        return np.where((classes == GAS_SMOKE) & ~gas, np.uint8(BACKGROUND), classes)

    def drifted(self, sample: Sample | None, frame: Frame) -> None:
        """Take in what was found of drift in a picture, None where there was no time for it."""
        with self._lock:
            if self._drift is None:
                return
            if sample is None:
                self._drift.skip()
            else:
                self._drift.take(sample, frame.monotonic_ns / 1e9)

    def kept_up(self, values: dict[str, Value], warnings: HealthCode) -> None:
        """Take in the word of the device's upkeep: tags, and what a person should see to."""
        with self._lock:
            self._upkeep, self._upkeep_warnings = values, warnings

    def new_network(self) -> None:
        """Another network answers from now on: what was found of the one before says nothing."""
        with self._lock:
            if self._drift is not None:
                self._drift = DriftTracker(self._drift.config)

    def snapshot(
        self, now_s: float, reader: ReaderStatus, model: ModelFacts, dropped: int
    ) -> CameraSnapshot:
        """What the plant may know at `now_s`; while that is nothing, all votes are forgotten.

        Args:
            now_s: monotonic clock.
            reader: how the camera's reader stands.
            model: what runs.
            dropped: captured frames that nobody segmented.
        """
        with self._lock:
            faults = self._faults(now_s, reader, model)
            drilling = HealthCode(0)
            # a drill is over before a frame has taken the place of what it made up
            made_up = self._told_by is not self._judge
            if made_up or (self._drill is not None and self._drill.is_on):
                faults |= HealthCode.TEST_SOURCE
                drilling = HealthCode.DRILL
            quality = quality_of(faults, stale=self._is_stale(now_s))
            if quality is Quality.BAD and faults & ~(HealthCode.STARTING | HealthCode.TEST_SOURCE):
                self._forget()
            values = self._frame_values(now_s, reader, dropped) | self._upkeep
            ne107, warnings = ne107_of(faults, quality), HealthCode(0)
            if self._drift is not None:
                values |= self._drift.values(now_s)
            if self._drift is not None and quality is not Quality.BAD:
                warnings = self._drift.warnings(now_s)
                ne107 = ne107_with(ne107, warnings)
                quality = max(quality, Quality.UNCERTAIN if warnings else quality)
            if quality is not Quality.BAD and self._upkeep_warnings:
                warnings |= self._upkeep_warnings
                if ne107 is Ne107.NORMAL:
                    ne107 = Ne107.MAINTENANCE_REQUIRED
            values |= {
                "Health/NE107": ne107.value,
                "Health/Code": int(faults | warnings | drilling),
                "Camera/Connected": not faults & (HealthCode.NO_CAMERA | HealthCode.SOURCE_ENDED),
                "Camera/Frozen": bool(faults & HealthCode.FROZEN),
                "Camera/Obscured": bool(faults & _OBSCURED),
                "Model/Id": model.model_id,
                "Model/Sha256": model.sha256,
                "Model/Backend": model.backend,
                "Sw/Version": self._version,
                "Leak/State": LeakState.UNKNOWN.value,
            }
            if quality is not Quality.BAD:
                values |= self._leak_values()
            return CameraSnapshot(
                camera=self.name,
                unit_id=self._unit_id,
                quality=quality,
                heartbeat=self._heartbeat,
                source_time_ns=self._segmented.captured_ns if self._segmented else 0,
                values={name: value for name, value in values.items() if value is not None},
            )

    def _forget(self) -> None:
        self._judge.reset()
        self._told_by = self._judge
        self._seen = self._judged = self._mask_data = None
        if self._drill is not None:
            self._drill.end("the camera cannot be believed any more")

    def _faults(self, now_s: float, reader: ReaderStatus, model: ModelFacts) -> HealthCode:
        faults = model.fault
        if self._is_test:
            faults |= HealthCode.TEST_SOURCE
        if reader.phase is Phase.ENDED:
            return faults | HealthCode.SOURCE_ENDED
        watched = self._watch.faults(now_s)
        taken = self._last.seq if self._last is not None else 0
        if HealthCode.NO_CAMERA in watched and reader.captured > taken:
            # they arrive, but the worker takes none; before the model runs that is to be expected
            watched &= ~HealthCode.NO_CAMERA
            watched |= HealthCode(0) if model.fault else HealthCode.STALLED
        elif reader.failures:
            watched |= HealthCode.NO_CAMERA
        undecided = self._judged is None or self._judged.verdict.state is LeakState.UNKNOWN
        if undecided and not watched:
            watched |= HealthCode.STARTING  # too few frames yet to say anything
        return faults | watched

    def _is_stale(self, now_s: float) -> bool:
        if self._segmented is None:
            return True
        return now_s - self._segmented.monotonic_ns / 1e9 > self._watch.stale_after_s

    def _leak_values(self) -> dict[str, Value]:
        judged = self._judged
        if judged is None:
            return {}
        gas, verdict = judged.gas, judged.verdict
        values: dict[str, Value] = {
            "Leak/State": verdict.state.value,
            "Leak/Score": gas.score,
            "Leak/AreaFraction": gas.area_fraction,
            "Leak/AreaPx": gas.area_px,
            "Leak/Count": judged.count,
            "Leak/DurationS": int(verdict.duration_s),
            "Leak/OnsetTime": verdict.onset_ns,
            "Leak/Still": verdict.still,
            "Leak/Disturbed": judged.disturbed,
            "Mask/Data": self._mask_data,
        }
        if judged.leaks:
            leak = judged.leaks[0]
            values |= {
                # a drill's leak takes no number that a real one could have
                "Leak/Id": (leak.number or None) if self._told_by is self._judge else None,
                "Leak/CentroidX": leak.centroid[0] if leak.centroid else None,
                "Leak/CentroidY": leak.centroid[1] if leak.centroid else None,
                "Leak/BBox": leak.bbox,
                "Leak/Growth": leak.growth_per_s,
                "Leak/SourceX": leak.source[0] if leak.source else None,
                "Leak/SourceY": leak.source[1] if leak.source else None,
                "Leak/DriftDeg": leak.drift_deg,
                "Leak/Zone": leak.zone,
            }
        for number, zone in enumerate(judged.zones, start=1):
            values[f"Zone/State{number}"] = zone.verdict.state.value
            values[f"Zone/AreaFraction{number}"] = zone.gas.area_fraction
            values[f"Zone/Name{number}"] = zone.name
        return values

    def _frame_values(self, now_s: float, reader: ReaderStatus, dropped: int) -> dict[str, Value]:
        while self._times_s and now_s - self._times_s[0] > _RATE_WINDOW_S:
            self._times_s.popleft()
        times = self._times_s
        span_s = times[-1] - times[0] if len(times) > 1 else 0.0
        return {
            "Frame/Seq": reader.captured,
            "Frame/CaptureTime": self._last.captured_ns if self._last is not None else None,
            "Frame/Fps": (len(times) - 1) / span_s if span_s > 0 else 0.0,
            "Frame/LatencyP99Ms": (
                sorted(self._latencies_ms)[len(self._latencies_ms) * 99 // 100]
                if self._latencies_ms
                else None
            ),
            "Frame/Dropped": dropped,
        }


def camera_state_of(config: DaemonConfig, camera: CameraConfig, unit_id: int) -> CameraState:
    """The state of a configured camera that nobody has looked at yet."""
    return CameraState(
        camera.name,
        unit_id,
        health=config.health,
        leaks=LeakJudge(config.leak_of(camera), camera.zone, camera.ignore),
        size=camera.picture_size,
        is_test=camera.uri().is_test,
        version=importlib.metadata.version("gasedge"),
        drift=DriftTracker(config.drift) if config.drift.every else None,
    )
