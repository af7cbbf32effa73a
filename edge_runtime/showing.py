"""Pictures for people: what was seen with mask and state drawn in, to page, evidence and video."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Protocol

from contract.errors import GasedgeError
from contract.tags import Quality
from edge_runtime.overlay import (
    RAW_MAX_WIDTH,
    RAW_QUALITY,
    blind_card,
    draw_overlay,
    jpeg_from_picture,
)
from edge_runtime.sources.uri import parse_source

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from contract.tags import CameraSnapshot
    from edge_runtime.camera_state import CameraState
    from edge_runtime.config import CameraConfig, DaemonConfig
    from edge_runtime.frames import Frame
    from edge_runtime.overlay_video import OverlayVideo

__all__ = ["Link", "RawLink", "Showing"]

_log = logging.getLogger(__name__)

_SHOW_S = 0.2  # at most five pictures a second and camera
_CARD_S = 1.0


class Link(Protocol):
    """Where snapshots and pictures go; it never makes the worker wait."""

    def publish(self, snapshot: CameraSnapshot) -> None:
        """Hand over a camera's values."""

    def show(self, camera: str, jpeg: bytes, captured_ns: int) -> None:
        """Hand over a camera's overlay picture."""


class RawLink(Protocol):
    """Where the pictures behind the overlays go; it never makes the worker wait."""

    def show_raw(self, camera: str, jpeg: Callable[[], bytes], captured_ns: int) -> None:
        """Hand over what encodes a camera's picture."""


class Showing:
    """Draws what is seen of each camera, at most so often; into the video every time.

    Args:
        config: of the daemon; without page and evidence nobody looks at pictures.
        link: takes overlays.
        raw_link: takes the picture behind each overlay that is shown, as evidence.
        video: takes the first camera's overlay.
    """

    def __init__(
        self,
        config: DaemonConfig,
        link: Link,
        raw_link: RawLink | None,
        video: OverlayVideo | None,
    ) -> None:
        self._link, self._raw_link, self._video = link, raw_link, video
        self._filmed = config.camera[0].name
        self._every = parse_source(config.camera[0].source).every  # then the video keeps its pace
        self._is_watched = config.plant.page is not None or config.plant.evidence is not None
        self._shown_s = dict.fromkeys((each.name for each in config.camera), 0.0)

    def is_due(self, camera: str, now_s: float) -> bool:
        """Whether a picture of this camera would be drawn at `now_s`, monotonic."""
        return self._is_due(camera, now_s) or self._video_of(camera) is not None

    def show(
        self,
        camera: CameraConfig,
        state: CameraState,
        frame: Frame,
        mask: NDArray[np.uint8] | None,
        snapshot: CameraSnapshot,
    ) -> None:
        """Draw what the worker just saw, where that is due.

        Args:
            camera: whose picture it is.
            state: of the camera.
            frame: the picture.
            mask: (h, w) classes of its valid field; None where it was not segmented.
            snapshot: of the camera, after that.
        """
        now_s = time.monotonic()
        video, due = self._video_of(camera.name), self._is_due(camera.name, now_s)
        if not due and video is None:
            return
        judged = None
        if mask is not None:
            mask, judged = state.counted(mask), state.judged
        drawn = draw_overlay(frame.picture, mask, snapshot, judged, camera.zone)
        if video is not None:
            try:
                video.write(drawn, None if self._every else frame.monotonic_ns / 1e9)
            except GasedgeError as error:
                _log.error("no more overlay video: %s", error)
                self._video = None
        if due:
            self._shown_s[camera.name] = now_s
            self._link.show(camera.name, jpeg_from_picture(drawn), frame.captured_ns)
            if self._raw_link is not None:
                raw = partial(jpeg_from_picture, frame.picture, RAW_QUALITY, RAW_MAX_WIDTH)
                self._raw_link.show_raw(camera.name, raw, frame.captured_ns)

    def show_blindness(self, snapshot: CameraSnapshot) -> None:
        """Show a card instead of an old picture while a camera cannot be believed."""
        now_s = time.monotonic()
        bad = self._is_watched and snapshot.quality is Quality.BAD
        if bad and now_s - self._shown_s[snapshot.camera] >= _CARD_S:
            self._shown_s[snapshot.camera] = now_s
            card = jpeg_from_picture(blind_card(snapshot))
            self._link.show(snapshot.camera, card, time.time_ns())

    def _is_due(self, camera: str, now_s: float) -> bool:
        return self._is_watched and now_s - self._shown_s[camera] >= _SHOW_S

    def _video_of(self, camera: str) -> OverlayVideo | None:
        return self._video if camera == self._filmed else None
