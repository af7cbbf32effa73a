"""The source URI of a camera: what it names, its options, and how it is shown without secrets."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from edge_runtime.sources.faults import faults
from edge_runtime.sources.infrared_range import parse_range

__all__ = ["LIVE_SCHEMES", "SourceUri", "parse_source"]

_OPTIONS: dict[str, dict[str, type]] = {
    "file": {"loop": bool, "every": bool, "fps": float},
    "folder": {"loop": bool, "every": bool, "fps": float, "range": str},
    "rtsp": {"width": int, "height": int, "software": bool},
    "rtsps": {"width": int, "height": int, "software": bool},
    "v4l2": {"width": int, "height": int, "fps": float, "range": str, "software": bool},
    "csi": {"width": int, "height": int, "fps": float},
    "genicam": {"width": int, "height": int, "fps": float, "range": str},
    "sim": {
        "kind": str,
        "seed": int,
        "width": int,
        "height": int,
        "fps": float,
        "frames": int,
        "loop": bool,
        "every": bool,
        "plume": bool,
        "onset": float,
        "large": bool,
        "distractors": bool,
        "fault": str,
    },
}
LIVE_SCHEMES = frozenset({"rtsp", "rtsps", "v4l2", "csi", "genicam"})
"""Schemes that are cameras; the others replay or simulate, which is published as a test."""

_EXAMPLES = (
    "file:clip.mp4, folder:frames, rtsp://host/stream, v4l2:/dev/video0, csi:0, genicam:NAME, "
    "sim:seed=1"
)

Option = bool | int | float | str


@dataclass(frozen=True, slots=True, repr=False)
class SourceUri:
    """A parsed source. Its text form hides user names and passwords."""

    scheme: str
    target: str  # path, device, sensor, camera or the whole rtsp URI with its credentials
    options: dict[str, Option]

    def __str__(self) -> str:
        if self.scheme in ("rtsp", "rtsps"):
            parts = urlsplit(self.target)
            host = parts.netloc.rpartition("@")[2]
            hidden = "***@" if "@" in parts.netloc else ""
            query = "?***" if parts.query else ""
            return f"{self.scheme}://{hidden}{host}{parts.path}{query}"
        return f"{self.scheme}:{self.target}"

    __repr__ = __str__

    @property
    def is_test(self) -> bool:
        """Whether the frames come from a replay or a simulation and not from a camera."""
        return self.scheme not in LIVE_SCHEMES

    @property
    def fps(self) -> float | None:
        """The frame rate that was asked for."""
        fps = self.options.get("fps")
        return float(fps) if fps is not None else None

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height that pictures are to be scaled to, in pixels."""
        width, height = self.options.get("width"), self.options.get("height")
        return (int(width), int(height)) if width and height else None

    @property
    def every(self) -> bool:
        """Whether every frame is to be segmented, as fast as that goes, instead of real time."""
        return bool(self.options.get("every", False))

    def below(self, folder: Path) -> SourceUri:
        """The same source with a relative path taken from `folder`."""
        if self.scheme not in ("file", "folder"):
            return self
        return SourceUri(self.scheme, str((folder / self.target).absolute()), self.options)

    def with_credentials(self, credentials: str) -> SourceUri:
        """The same rtsp source with `user:password` put before its host."""
        parts = urlsplit(self.target)
        host = parts.netloc.rpartition("@")[2]
        target = parts._replace(netloc=f"{credentials}@{host}").geturl()
        return SourceUri(self.scheme, target, self.options)


def parse_source(text: str) -> SourceUri:
    """Parse a source URI; a plain path of a folder or a file needs no scheme.

    Raises:
        ValueError: when the scheme or an option is unknown or a value does not fit. The message
            never holds user names or passwords.
    """
    scheme, colon, rest = text.partition(":")
    if not colon or "/" in scheme:
        path, _, query = text.partition("?")
        scheme = "folder" if not Path(path).suffix else "file"
        rest = text
    if scheme not in _OPTIONS:
        near = difflib.get_close_matches(scheme, _OPTIONS, n=1)
        hint = f"did you mean {near[0]}:?" if near else f"use one of {_EXAMPLES}"
        raise ValueError(f"unknown kind of source {scheme!r}; {hint}")
    if scheme in ("rtsp", "rtsps"):
        return _rtsp(text, scheme)
    if scheme == "sim":
        target, query = "", rest
    else:
        target, _, query = rest.partition("?")
        if not target:
            raise ValueError(f"{scheme}: names nothing; use one of {_EXAMPLES}")
    if scheme == "csi" and not target.isdigit():
        raise ValueError(f"csi: takes the sensor's number, as in csi:0, not {target!r}")
    if scheme == "v4l2" and not target.startswith("/dev/"):
        raise ValueError(f"v4l2: takes a device, as in v4l2:/dev/video0, not {target!r}")
    return SourceUri(scheme, target, _options(scheme, query))


def _rtsp(text: str, scheme: str) -> SourceUri:
    try:
        parts = urlsplit(text)
        named = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        named = False
    if not named or re.search(r"\s", text):
        raise ValueError(f"{scheme}: needs host, port and path, as in rtsp://10.0.0.5:554/stream")
    # a query belongs to the camera; what stands behind # never leaves us
    target, _, own = text.partition("#")
    return SourceUri(scheme, target, _options(scheme, own))


def _options(scheme: str, query: str) -> dict[str, Option]:
    known = _OPTIONS[scheme]
    options: dict[str, Option] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        kind = known.get(name)
        if kind is None:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(known) or 'none'}"
            raise ValueError(f"{scheme}: has no option {name!r}; {hint}")
        options[name] = _value(scheme, name, value, kind)
    if scheme != "sim" and ("width" in options) != ("height" in options):
        raise ValueError(f"{scheme}: width and height go together")
    return options


def _value(scheme: str, name: str, text: str, kind: type) -> Option:
    if kind is bool:
        if text not in ("", "1", "0", "true", "false"):
            raise ValueError(f"{scheme}: {name} is on or off (1 or 0), not {text!r}")
        return text in ("", "1", "true")
    if name == "range":
        try:
            parse_range(text)
        except ValueError as fault:
            raise ValueError(f"{scheme}: {fault}") from None
    if name == "fault":
        try:
            faults(text)
        except ValueError as fault:
            raise ValueError(f"{scheme}: {fault}") from None
    if kind is str:
        return text
    try:
        number: int | float = int(text) if kind is int else float(text)
    except ValueError:
        raise ValueError(f"{scheme}: {name} must be a number, not {text!r}") from None
    lowest = 0 if name == "seed" else 1 if kind is int else 1e-3
    if not lowest <= number <= 2**31:
        raise ValueError(f"{scheme}: {name} must be {lowest} or more, not {text!r}")
    return number
