"""The events of the evidence folder, as the page lists and plays them."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["EvidenceLook", "clip", "events_in", "held_in"]

_MOST = 50
_PATIENCE_S = 1.0
Seen = TypeVar("Seen")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")


class EvidenceLook(Generic[Seen]):
    """Looks at the disk of the evidence, which may hang: one look at a time, and nobody waits long.

    Args:
        look: what is done in a thread.
    """

    def __init__(self, look: Callable[[], Seen]) -> None:
        self._look = look
        self._under_way: asyncio.Future[Seen] | None = None

    async def now(self) -> Seen | None:
        """What was seen; None when the disk does not answer in time."""
        if self._under_way is None or self._under_way.done():
            self._under_way = asyncio.ensure_future(asyncio.to_thread(self._look))
        try:
            return await asyncio.wait_for(asyncio.shield(self._under_way), _PATIENCE_S)
        except asyncio.TimeoutError:
            return None


async def clip(request: web.Request, folder: Path) -> web.StreamResponse:
    """GET /evidence/{event}/{file}: one file of an event, in parts if the browser asks so.

    Raises:
        web.HTTPNotFound: when there is no such file; links are none.
    """
    event, name = request.match_info["event"], request.match_info["file"]
    path = folder / event / name
    fits = _NAME.fullmatch(event) and _NAME.fullmatch(name)
    if not fits or not await asyncio.to_thread(_is_plain, path):
        raise web.HTTPNotFound(text="there is no such file; old evidence makes room for new")
    return web.FileResponse(path)


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and not path.parent.is_symlink()


def held_in(folder: Path) -> tuple[int, int] | None:
    """Events in the folder and the free bytes of its disk; None where that cannot be told."""
    try:
        events = sum(not each.name.startswith(".") for each in folder.iterdir())
        return events, shutil.disk_usage(folder).free
    except OSError:
        return None


def events_in(folder: Path) -> list[dict[str, Any]]:
    """The newest events as JSON, newest first; what cannot be read is left out."""
    try:
        # names begin with the time, so that their order is that of events
        names = sorted(each.name for each in folder.iterdir() if _NAME.fullmatch(each.name))
    except OSError:
        return []
    found = []
    for name in reversed(names[-_MOST:]):
        try:
            manifest = json.loads((folder / name / "manifest.json").read_text(encoding="utf-8"))
            clips = [each for each in manifest["files"] if each.endswith((".webm", ".avi"))]
            found.append(
                {
                    "folder": name,
                    "camera": str(manifest["camera"]),
                    "zones": [each["zone"] for each in manifest["alarms"] if each["zone"]],
                    "onset_ms": int(manifest["onset_ns"]) // 1_000_000,
                    "seconds": (int(manifest["to_ns"]) - int(manifest["from_ns"])) / 1e9,
                    "test": bool(manifest["test"]),
                    "clips": sorted(clips),
                }
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
    return found
