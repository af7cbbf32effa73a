"""The daily check: is the running network's answer still right, and the view still the reference?

The golden frames go the way of camera frames, one between two of them; all else, reading, judging
and writing down, is done on a thread that no frame waits for. The reference view of a camera is the
one that was learned when the first check was made. It is kept in the state folder, below `views`:
who turns a camera on purpose removes its file there, and the next check keeps the new view.
"""

from __future__ import annotations

import json
import logging
import queue
import threading
import time
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from contract.atomic import write_text
from contract.closing import Closing
from contract.errors import GasedgeError, IntegrityError
from contract.tags import HealthCode
from edge_runtime.backends.known_answer import GoldenQuestions
from edge_runtime.view_memory import keep_view, kept_view
from edge_runtime.view_watch import is_same_view

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

    from contract.tags import Value
    from edge_runtime.device.schedule import Schedule
    from edge_runtime.model import RunningModel
    from edge_runtime.view_watch import LearnedView, SeenView

__all__ = ["CheckResult", "DailyCheck"]

_log = logging.getLogger(__name__)

_FILE = "daily-check.json"
_VIEWS = "views"
_ANSWER_S = 60.0  # that all golden frames may take among the camera's
_AGAIN_S = 600.0  # after a check that could not be ended
_SETTLE_S = 120.0  # that cameras have after a start to learn their views
_END_S = 2.0


class CheckResult(IntEnum):
    """`Verify/LastResult`."""

    PASSED = 0
    WRONG_ANSWERS = 1
    OTHER_VIEW = 2
    NO_VIEW = 3


@dataclass(slots=True)
class _Asking:
    """The golden frames on their way; the worker takes and answers, the thread waits."""

    model: RunningModel
    questions: GoldenQuestions
    found: list[NDArray[np.uint8]] = field(default_factory=list)
    asked: int = 0
    ended: threading.Event = field(default_factory=threading.Event)


class DailyCheck(Closing):
    """Checks network and views once a day; a context manager with one thread.

    Args:
        schedule: when.
        folder: the state folder, where results and reference views are kept.
        views: asked for what each camera shows.
    """

    def __init__(
        self, schedule: Schedule, folder: Path, views: Mapping[str, Callable[[float], SeenView]]
    ) -> None:
        self._schedule, self._folder, self._views = schedule, folder, views
        self._begun_s: float | None = None  # UTC, of the first start; None until it is read
        self._ended_s: float | None = None  # UTC, of the last check
        self._results: dict[str, int] = {}
        self._not_before_s: float | None = None  # monotonic
        self._asking: _Asking | None = None
        self._wrong: tuple[RunningModel, str] | None = None  # that must not be believed, and why
        self._busy = True  # until what was kept is read
        self._jobs: queue.SimpleQueue[RunningModel | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="gasedge-check", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def close(self) -> None:
        """End the thread; a disk that hangs is not waited for."""
        self._jobs.put(None)
        if (asking := self._asking) is not None:
            asking.ended.set()
        if self._thread.ident is not None:
            self._thread.join(_END_S)

    def tick(self, now_s: float, utc_s: float, model: RunningModel | None) -> None:
        """Begin a check where one is due and there is a network to ask.

        Args:
            now_s: monotonic time.
            utc_s: UTC.
            model: that runs; None while none does.
        """
        if self._busy or model is None or model.bundle is None:
            return
        # a network that answered wrongly last, in a process before this one, is asked at once
        wrong = CheckResult.WRONG_ANSWERS in self._results.values()
        if self._not_before_s is None:
            self._not_before_s = now_s if wrong else now_s + _SETTLE_S
        if now_s < self._not_before_s:
            return
        if wrong or self._schedule.is_due(self._last_s(utc_s), utc_s):
            self._busy = True
            self._not_before_s = now_s + _AGAIN_S
            self._jobs.put(model)

    def question(self, model: RunningModel) -> NDArray[np.uint8] | None:
        """The next (H, W, 3) golden frame to ask this model; None most of the time."""
        asking = self._asking
        if asking is None or asking.ended.is_set() or asking.asked > len(asking.found):
            return None
        if asking.model is not model:  # another one runs by now
            asking.ended.set()
            return None
        asking.asked += 1
        return asking.questions.frames[asking.asked - 1]

    def answer(self, mask: NDArray[np.uint8]) -> None:
        """Take in the (H, W) mask of the last question."""
        asking = self._asking
        if asking is None:
            return
        asking.found.append(mask.copy())
        if len(asking.found) == len(asking.questions.frames):
            asking.ended.set()

    def fault_of(self, model: RunningModel) -> str:
        """Why this model must not be believed any more; "" while it may."""
        wrong = self._wrong
        return wrong[1] if wrong is not None and wrong[0] is model else ""

    def values(self, camera: str) -> dict[str, Value]:
        """The `Verify/` tags of a camera."""
        if self._ended_s is None or camera not in self._results:
            return {}
        return {
            "Verify/LastTime": round(self._ended_s * 1e9),
            "Verify/LastResult": self._results[camera],
        }

    def warnings(self, camera: str, utc_s: float) -> HealthCode:
        """What a person should see to."""
        if self._begun_s is None:
            return HealthCode(0)
        warned = HealthCode(0)
        if self._schedule.is_overdue(self._last_s(utc_s), utc_s):
            warned |= HealthCode.CHECK_OVERDUE
        if self._results.get(camera, CheckResult.PASSED) != CheckResult.PASSED:
            warned |= HealthCode.CHECK_FAILED
        return warned

    def _last_s(self, utc_s: float) -> float:
        if self._ended_s is not None:
            return self._ended_s
        return self._begun_s if self._begun_s is not None else utc_s

    def _run(self) -> None:
        try:
            self._recall()
            self._busy = False
            while (model := self._jobs.get()) is not None:
                try:
                    self._check(model)
                except (GasedgeError, OSError) as error:
                    _log.error("the daily check could not be made: %s", error)
                except Exception:  # noqa: BLE001 - it becomes overdue, and that is told
                    _log.exception("the daily check could not be made")
                self._asking = None
                self._busy = False
        except Exception:  # noqa: BLE001 - it becomes overdue, and that is told
            _log.exception("no more daily checks")

    def _check(self, model: RunningModel) -> None:
        if model.bundle is None or model.config is None:
            return
        questions = GoldenQuestions(model.bundle, model.config.precision)
        asking = _Asking(model, questions)
        self._asking = asking
        asking.ended.wait(_ANSWER_S)
        if len(asking.found) < len(questions.frames):
            _log.error(
                "the daily check was not ended: %d of %d golden frames were answered",
                len(asking.found),
                len(questions.frames),
            )
            return
        answer = questions.judge(asking.found, model.segmenter.name)
        if answer.passed:
            now_s = time.monotonic()
            self._results = {
                name: self._compared(name, seen(now_s)) for name, seen in self._views.items()
            }
        else:
            # at once, for a disk may hang: what is not kept then is asked again by the next process
            self._wrong = model, f"the daily known-answer test was not passed: {answer.detail}"
            self._results = dict.fromkeys(self._views, CheckResult.WRONG_ANSWERS)
        self._ended_s = time.time()
        failed = [f"{name}: {CheckResult(each).name}" for name, each in self._results.items()]
        _log.info("daily check: %s; %s", answer.detail, ", ".join(failed))
        self._keep()

    def _compared(self, camera: str, seen: SeenView) -> int:
        if not seen.watched:
            return CheckResult.PASSED
        if HealthCode.MOVED in seen.faults:
            return CheckResult.OTHER_VIEW
        if seen.faults or seen.view is None:
            return CheckResult.NO_VIEW
        return self._held_against_reference(camera, seen.view)

    def _held_against_reference(self, camera: str, view: LearnedView) -> int:
        path = self._folder / _VIEWS / f"{camera}.npz"
        try:
            reference = kept_view(path)
        except IntegrityError as error:  # the present view may be the wrong one: none replaces it
            _log.error("camera %s: %s; put the file aside to take its present view", camera, error)
            return CheckResult.NO_VIEW
        if reference is None:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            keep_view(path, view)
            _log.info("camera %s: its view is the reference from now on: %s", camera, path)
            return CheckResult.PASSED
        same = is_same_view(reference, view)
        if same is None:
            return CheckResult.NO_VIEW
        return CheckResult.PASSED if same else CheckResult.OTHER_VIEW

    def _recall(self) -> None:
        kept: dict[str, Any] = {}
        try:
            kept = json.loads((self._folder / _FILE).read_text(encoding="utf-8"))
            ended = kept["ended_s"]
            self._ended_s = None if ended is None else float(ended)
            self._results = {
                str(name): int(CheckResult(each)) for name, each in kept["results"].items()
            }
            self._begun_s = float(kept["begun_s"])
        except FileNotFoundError:
            self._begun_s = time.time()
            self._try_to_keep()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            _log.warning("%s: cannot be read, checks begin anew: %s", _FILE, error)
            self._begun_s, self._ended_s, self._results = time.time(), None, {}

    def _try_to_keep(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._keep()
        except (GasedgeError, OSError) as error:
            _log.warning("%s: is not kept: %s", _FILE, error)

    def _keep(self) -> None:
        said = {
            "begun_s": self._begun_s,
            "ended_s": self._ended_s,
            "results": {name: int(each) for name, each in self._results.items()},
        }
        write_text(self._folder / _FILE, json.dumps(said) + "\n")
