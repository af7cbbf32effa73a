"""The shadow: one picture in so many goes through FP16, too, on a thread that nobody waits for."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contract.closing import Closing
from contract.errors import GasedgeError
from contract.grey_histogram import calibrated_greys, grey_shares
from contract.pictures import fit_picture
from contract.precision import Precision
from edge_runtime.backends.open import open_backend
from edge_runtime.drift import Sample, compared
from edge_runtime.pixels import bgr_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

    from contract.bundle import Bundle
    from contract.geometry import FrameFit
    from contract.grey_histogram import GreyReference
    from contract.segmenter import Segmenter
    from edge_runtime.camera_state import CameraState
    from edge_runtime.config import DriftConfig, ModelConfig
    from edge_runtime.frames import Frame
    from edge_runtime.pixels import CameraPicture

__all__ = ["Shadow", "ShadowNetwork", "Turns", "open_shadow"]

_log = logging.getLogger(__name__)

_LOWEST = 19  # nice: what the frames leave over
_PATIENCE_S = 2.0  # less than the supervisor has with this process


@dataclass(frozen=True, slots=True)
class ShadowNetwork:
    """What pictures are compared with."""

    segmenter: Segmenter | None  # FP16; None where only grey levels are compared
    greys: GreyReference | None  # of the calibration; None where that is not known

    def sample(self, picture: CameraPicture, mask: NDArray[np.uint8], fit: FrameFit) -> Sample:
        """Look at a picture and its (H, W) mask.

        Raises:
            GasedgeError: when the backend fails.
        """
        answer, seen = None, bgr_of(picture)
        if self.segmenter is not None:
            fitted = fit_picture(seen, self.segmenter.geometry)
            shadow = self.segmenter.segment(fitted[None]).mask[0]
            answer = compared(mask[fit.valid], shadow[fit.valid])
        return Sample(grey_shares(seen), self.greys, answer)

    def close(self) -> None:
        """Close the network; a second call does nothing."""
        if self.segmenter is not None:
            self.segmenter.close()


def open_shadow(model: ModelConfig, drift: DriftConfig, bundle: Bundle) -> ShadowNetwork:
    """Open the FP16 graph of the bundle that runs in INT8, and what its calibration saw.

    Args:
        model: how it runs.
        drift: how it is watched.
        bundle: that runs.

    Raises:
        GasedgeError: when the bundle holds none, or it cannot be opened.
    """
    greys = calibrated_greys(bundle)
    if greys is None:
        _log.warning("drift: %s does not say what it was calibrated on", bundle.path)
    if model.precision is not Precision.INT8:
        _log.info("drift: %s is no INT8, so only pictures are compared", model.precision)
        return ShadowNetwork(None, greys)
    if model.on_gpu and drift.engine is None:
        _log.warning("drift: no [drift] engine of FP16 is configured: only pictures are compared")
        return ShadowNetwork(None, greys)
    segmenter = open_backend(
        bundle,
        Precision.FP16,
        backend="tensorrt" if model.on_gpu else model.backend,
        engine=drift.engine if model.on_gpu else None,
        threads=1,
    )
    return ShadowNetwork(segmenter, greys)


class Turns:
    """Whose picture is one in so many, by camera.

    Args:
        every: 1 takes each picture.
    """

    def __init__(self, every: int) -> None:
        self._every = every
        self._seen: dict[str, int] = {}

    def is_due(self, camera: str) -> bool:
        """Count a picture of a camera; tell whether it is its turn."""
        seen = self._seen.get(camera, 0)
        self._seen[camera] = seen + 1
        return seen % self._every == 0


@dataclass(frozen=True, slots=True)
class _Job:
    state: CameraState
    frame: Frame
    mask: NDArray[np.uint8]
    fit: FrameFit


class Shadow(Closing):
    """Compares pictures on a thread of lowest priority; a context manager.

    Whatever it does, and be it hanging, `offer` returns at once.

    Args:
        every: one picture of a camera in so many is compared.
        opened: opens the network, on the shadow's thread, at the first picture.
    """

    def __init__(self, every: int, opened: Callable[[], ShadowNetwork]) -> None:
        self._turns = Turns(every)
        self._opened = opened
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._busy = False
        self._thread = threading.Thread(target=self._run, name="gasedge-shadow", daemon=True)

    def offer(
        self, state: CameraState, frame: Frame, mask: NDArray[np.uint8], fit: FrameFit
    ) -> None:
        """Compare this picture if it is its turn; skip and count it while another one is compared.

        Args:
            state: of the camera, told what is found.
            frame: the picture.
            mask: (H, W) class indices that the plant is told of; they must not change any more.
            fit: where the picture stands in it.
        """
        if not self._turns.is_due(frame.camera):
            return
        if self._busy:
            state.drifted(None, frame)
            return
        self._busy = True
        self._jobs.put(_Job(state, frame, mask, fit))

    def close(self) -> None:
        """End the thread; one that hangs is left behind, it ends with the process."""
        self._jobs.put(None)
        if self._thread.ident is not None:
            self._thread.join(_PATIENCE_S)
            if self._thread.is_alive():
                _log.error("drift: the shadow hangs and is left behind")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def _run(self) -> None:
        with contextlib.suppress(OSError, AttributeError):  # Linux: of this thread, and of those
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST)  # that it starts
        network: ShadowNetwork | None = None
        try:
            while (job := self._jobs.get()) is not None:
                if network is None:
                    network = self._opened()
                sample = network.sample(job.frame.picture, job.mask, job.fit)
                job.state.drifted(sample, job.frame)
                self._busy = False
        except GasedgeError as error:
            # busy for ever: pictures are counted as skipped, and figures grow old
            _log.error("drift: no longer compared: %s", error)
        except Exception:  # noqa: BLE001 - a library's fault in here may not end the frames
            _log.exception("drift: no longer compared")
        finally:
            if network is not None:
                network.close()
