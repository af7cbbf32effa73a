"""Replay clips through the whole daemon of a configuration into a transcript."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from contract.atomic import new_file
from contract.errors import ConfigError
from contract.signing import trusted_bundle
from edge_runtime.model import open_model
from edge_runtime.model_trust import trust_of
from edge_runtime.replay.arrivals import arrivals_of, require_an_end, segmented_ahead
from edge_runtime.replay.transcript import Transcript
from edge_runtime.replay.virtual_daemon import VirtualDaemon
from edge_runtime.shadow import open_shadow
from edge_runtime.slots.store import settled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from edge_runtime.config import CameraConfig, DaemonConfig
    from edge_runtime.replay.arrivals import Arrival
    from edge_runtime.sources.uri import SourceUri

__all__ = ["Replayed", "replay"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Replayed:
    """How a replay went."""

    changes: int  # lines of the transcript
    frames: int  # pictures that were segmented
    virtual_s: float  # until the plant said unknown of every camera
    took_s: float  # by the clock of this machine, without opening the model


def replay(
    config: DaemonConfig,
    clips: Mapping[str, str],
    out: Path,
    *,
    latency_s: float = 0.0,
    values_every_s: float = 0.0,
    progress: Callable[[float], None] = lambda _: None,
) -> Replayed:
    """Replay a clip for each of some cameras; the others are left out.

    Each picture is computed by one CPU thread, whatever the configuration says: how a sum is
    shared among threads may change its last digit.

    Args:
        config: the daemon's configuration, paths resolved.
        clips: source by the name of a configured camera; without any, the sources that cameras
            have in the configuration, as far as they are no cameras.
        out: where the transcript goes; whole, or not at all.
        latency_s: virtual seconds from a picture to its mask.
        values_every_s: see `Transcript`.
        progress: told the virtual seconds.

    Raises:
        ConfigError: when a camera is not configured or a source is not understood.
        InputError: when a clip cannot be replayed.
        GasedgeError: when the model cannot be opened or fails, or `out` cannot be written.
    """
    cameras = tuple(_with_clip(config, name, source) for name, source in clips.items())
    cameras = cameras or tuple(each for each in config.camera if each.uri().is_test)
    if not cameras:
        raise ConfigError("no camera of this configuration has a clip as its source: give --source")
    uris = [camera.uri() for camera in cameras]
    for uri in uris:
        require_an_end(uri)
    model_config = settled(config.model).model_copy(update={"threads": config.model.streams})
    config = config.model_copy(update={"camera": cameras, "model": model_config})
    # an answer about a wrong OUT must not wait for the model
    with new_file(out) as partial, partial.open("w", encoding="utf-8") as file:
        bundle = trusted_bundle(config.model.bundle, trust_of(config))
        model = open_model(config.model, bundle)
        with model, ExitStack() as cleanup:
            shadow = None
            if config.drift.every:
                shadow = open_shadow(config.model, config.drift, bundle)
                cleanup.callback(shadow.close)
            head = {
                "cameras": {c.name: _named(u) for c, u in zip(cameras, uris, strict=True)},
                "model": model.facts.model_id,
                "latency_s": latency_s,
            }
            transcript = Transcript(file, head, values_every_s=values_every_s)
            daemon = VirtualDaemon(
                config,
                model.segmenter.geometry,
                model.facts,
                latency_ns=round(latency_s * 1e9),
                shadow=shadow,
                tell=transcript.tell,
            )
            begin_s = time.monotonic()
            with closing(segmented_ahead(arrivals_of(uris), model)) as arrivals:
                daemon.run(_told(arrivals, progress))
            took_s = time.monotonic() - begin_s
    return Replayed(transcript.lines, daemon.segmented, daemon.now_ns / 1e9, took_s)


def _told(arrivals: Iterator[Arrival], progress: Callable[[float], None]) -> Iterator[Arrival]:
    for arrival in arrivals:
        if arrival.ended:
            _log.info("at %.3f s: %s", arrival.at_ns / 1e9, arrival.ended)
        progress(arrival.at_ns / 1e9)
        yield arrival


def _named(uri: SourceUri) -> str:
    """What a transcript says of a clip: nothing of the machine that it lies on."""
    texts = (
        f"{name}={value:g}" if isinstance(value, (int, float)) else f"{name}={value}"
        for name, value in uri.options.items()
    )
    parts = [Path(uri.target).name, "&".join(texts)]
    return f"{uri.scheme}:" + "?".join(part for part in parts if part)


def _with_clip(config: DaemonConfig, name: str, source: str) -> CameraConfig:
    known = {camera.name: camera for camera in config.camera}
    if name not in known:
        raise ConfigError(f"no camera {name!r} is configured, only {', '.join(known)}")
    return known[name].model_copy(update={"source": source, "credentials_file": None})
