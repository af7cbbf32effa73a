"""The events of the evidence folder, as the page lists and plays them."""

from __future__ import annotations

import asyncio
import json
import mimetypes
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from aiohttp import web

from edge_runtime.plant.disk_look import PATIENCE_S
from edge_runtime.plant.page_gate import HEADERS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["Clips", "events_in", "held_in"]

_MOST = 50
_THREADS = 2
_CHUNK = 256 << 10
_GONE = "there is no such file; old evidence makes room for new"
Seen = TypeVar("Seen")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")


class Clips:
    """The files of events, read in threads of their own: a disk that hangs holds up clips alone.

    The library's own way has the event loop, and with it every interface, wait for the disk.

    Args:
        folder: of all events.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="clips")

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """GET /evidence/{event}/{file}: one file of an event, in parts if the browser asks so.

        Raises:
            web.HTTPNotFound: when there is no such file; links are none.
            web.HTTPRequestRangeNotSatisfiable: when the file has no such part.
            web.HTTPServiceUnavailable: when the disk does not answer.
        """
        event, name = request.match_info["event"], request.match_info["file"]
        if not (_NAME.fullmatch(event) and _NAME.fullmatch(name)):
            raise web.HTTPNotFound(text=_GONE)
        try:
            file, size = await self._ask(_opened, self._folder / event / name)
        except asyncio.TimeoutError:  # an OSError from Python 3.11 on
            raise web.HTTPServiceUnavailable(text="the disk does not answer") from None
        except OSError:
            raise web.HTTPNotFound(text=_GONE) from None
        with file:
            try:
                begin, end, _ = request.http_range.indices(size)
            except ValueError:
                begin, end = size, size
            partial = "Range" in request.headers
            if partial and begin >= end:
                headers = {"Content-Range": f"bytes */{size}"}
                raise web.HTTPRequestRangeNotSatisfiable(headers=headers)
            response = web.StreamResponse(status=206 if partial else 200)
            response.content_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
            response.content_length = end - begin
            response.headers["Accept-Ranges"] = "bytes"
            if partial:
                response.headers["Content-Range"] = f"bytes {begin}-{end - 1}/{size}"
            response.headers.update(HEADERS)
            await response.prepare(request)
            whole = request.method == "HEAD" or await self._sent(response, file, begin, end)
            if not whole and request.transport is not None:  # what was promised does not come
                request.transport.abort()
        return response

    def close(self) -> None:
        """End the threads, without waiting for those that the disk holds."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _sent(
        self, response: web.StreamResponse, file: BinaryIO, begin: int, end: int
    ) -> bool:
        while begin < end:
            try:
                data = await self._ask(os.pread, file.fileno(), min(_CHUNK, end - begin), begin)
            except (OSError, asyncio.TimeoutError):
                return False
            if not data:
                return False
            await response.write(data)
            begin += len(data)
        return True

    async def _ask(self, question: Callable[..., Seen], *arguments: Any) -> Seen:
        asked = asyncio.get_running_loop().run_in_executor(self._threads, question, *arguments)
        return await asyncio.wait_for(asked, PATIENCE_S)


def _opened(path: Path) -> tuple[BinaryIO, int]:
    """A plain file that no link leads to, and its size."""
    if path.is_symlink() or path.parent.is_symlink() or not path.is_file():
        raise FileNotFoundError(path)
    file = path.open("rb", buffering=0)
    return file, os.fstat(file.fileno()).st_size


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
