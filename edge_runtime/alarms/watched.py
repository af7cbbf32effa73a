"""From the daemon's configuration to the cameras of the alarm desk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_runtime.alarms.config import ZoneAlarm
from edge_runtime.alarms.roster import WatchedCamera

if TYPE_CHECKING:
    from edge_runtime.config import DaemonConfig

__all__ = ["watched_cameras"]


def watched_cameras(config: DaemonConfig) -> list[WatchedCamera]:
    """Each camera with its own alarm settings or the common ones, and those of its zones."""
    watched = []
    for camera in config.camera:
        own = camera.alarm or config.alarm
        common = ZoneAlarm(**own.leak.model_dump(include={*ZoneAlarm.model_fields}))
        zones = tuple((zone.name, zone.alarm or common) for zone in camera.zone)
        watched.append(WatchedCamera(camera.name, own, zones))
    return watched
