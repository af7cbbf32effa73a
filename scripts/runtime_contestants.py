"""Who takes part in `scripts/bench_runtime`, each in a process that prints one JSON line.

bare: the backend alone on frames in memory, as many runs under way as the daemon has.
loop: what a user would write: torch, OpenCV, numpy softmax and argmax, one frame after another.
stages: our steps for a frame, one by one, in milliseconds of processor time.
"""

from __future__ import annotations

import argparse
import collections
import json
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from contract.signing import trusted_bundle
from contract.tags import HealthCode, Quality
from edge_runtime.config import DaemonConfig, load_daemon_config
from edge_runtime.model import RunningModel, open_model
from edge_runtime.model_trust import trust_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

WARM_UP_S = 1.0


def frames_of(clip: Path) -> list[NDArray[np.uint8]]:
    """All pictures of a clip."""
    video = cv2.VideoCapture(str(clip))
    pictures = []
    while True:
        there, picture = video.read()
        if not there:
            return pictures
        pictures.append(np.asarray(picture, np.uint8))


def rate(step: Callable[[], None], seconds: float) -> tuple[float, float]:
    """Steps a second after a warm-up, and the milliseconds of processor time of each."""
    until = time.perf_counter() + WARM_UP_S
    while time.perf_counter() < until:
        step()
    begin, spent, count = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - begin < seconds:
        step()
        count += 1
    spent = time.process_time() - spent
    return count / (time.perf_counter() - begin), 1e3 * spent / count


def bare(model: RunningModel, clip: Path, seconds: float) -> dict[str, Any]:
    """Frames a second with `depth` runs under way, and the median of one frame alone in ms."""
    frames = frames_of(clip)[:32]
    under_way: collections.deque[Any] = collections.deque()
    number = 0

    def step() -> None:
        nonlocal number
        while len(under_way) < model.depth:
            under_way.append(model.start([frames[number % len(frames)]], lambda: None))
            number += 1
        under_way.popleft().result()

    fps, spent_ms = rate(step, seconds)
    while under_way:
        under_way.popleft().result()
    alone = []
    for frame in frames * 2:
        begin = time.perf_counter()
        model.start([frame], lambda: None).result()
        alone.append((time.perf_counter() - begin) * 1e3)
        time.sleep(0.01)
    return {
        "fps": fps,
        "processor_ms": spent_ms,
        "alone_ms": statistics.median(alone),
        "backend": model.facts.backend,
    }


def loop(checkpoint: Path, clip: Path, seconds: float, threads: int | None) -> dict[str, Any]:
    """Frames a second of the program that a user would write first."""
    import torch

    from train.networks.checkpoint import network_from_checkpoint

    if threads is not None:
        torch.set_num_threads(threads)
    loaded = network_from_checkpoint(checkpoint)
    core = loaded.network.core.eval()
    size = (loaded.geometry.width, loaded.geometry.height)
    mean = np.array([0.485, 0.456, 0.406], np.float32)
    std = np.array([0.229, 0.224, 0.225], np.float32)

    def pictures() -> Iterator[NDArray[Any]]:
        while True:
            video = cv2.VideoCapture(str(clip))
            there, picture = video.read()
            while there:
                yield picture
                there, picture = video.read()

    source = pictures()

    def step() -> None:
        rgb = cv2.cvtColor(cv2.resize(next(source), size), cv2.COLOR_BGR2RGB)
        values = (rgb.astype(np.float32) / 255 - mean) / std
        with torch.no_grad():
            logits = core(torch.from_numpy(values.transpose(2, 0, 1)[None].copy())).numpy()
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = exponents / exponents.sum(axis=1, keepdims=True)
        mask = probabilities.argmax(axis=1)[0]
        float((mask == 1).mean())

    return {"fps": rate(step, seconds)[0], "threads": torch.get_num_threads()}


def stages(model: RunningModel, config: DaemonConfig, clip: Path) -> dict[str, float]:
    """Median milliseconds of processor time of each of our steps for a frame."""
    from edge_runtime.camera_state import camera_state_of
    from edge_runtime.frames import Frame
    from edge_runtime.overlay import draw_overlay, jpeg_from_picture
    from edge_runtime.plant.messages import encode_snapshot
    from edge_runtime.sources.reader import Phase, ReaderStatus

    camera = config.camera[0]
    state = camera_state_of(config, camera, 1)
    seen: list[tuple[Any, ...]] = []
    times: dict[str, list[float]] = collections.defaultdict(list)
    video = cv2.VideoCapture(str(clip))
    zero_ns = time.time_ns()
    for number in range(1, 201):
        clock = [time.thread_time()]
        there, picture = video.read()
        if not there:
            break
        clock.append(time.thread_time())
        at_ns = number * 40_000_000
        frame = Frame(camera.name, number, zero_ns + at_ns, at_ns, np.asarray(picture, np.uint8))
        state.saw(frame)
        clock.append(time.thread_time())
        (found,) = model.start([frame.picture], lambda: None).result()
        clock.append(time.thread_time())
        fit = model.segmenter.geometry.of(picture.shape[1], picture.shape[0])
        seen.append((frame, found.mask[0], found.score[0], fit, at_ns / 1e9))
        state.segmented(*seen[-1])
        clock.append(time.thread_time())
        reader = ReaderStatus(phase=Phase.READING, captured=number)
        snapshot = state.snapshot(at_ns / 1e9, reader, model.facts, 0)
        encode_snapshot(snapshot, sent_ns=at_ns, age_ns=0)
        clock.append(time.thread_time())
        jpeg_from_picture(draw_overlay(frame.picture, found.mask[0][fit.valid], snapshot))
        clock.append(time.thread_time())
        names = ("decode", "supervise", "hand over", "judge", "publish", "overlay, 5 a second")
        for name, begin, end in zip(names, clock, clock[1:], strict=False):
            times[name].append((end - begin) * 1e3)
        if snapshot.quality is Quality.BAD and number > 100:
            raise SystemExit(
                f"the clip is not believed: {HealthCode(snapshot.values['Health/Code'])}"
            )
    again = camera_state_of(config, camera, 1)
    for each in seen:
        clock = [time.thread_time()]
        again.segmented(*each)
        times["judge, no network between"].append((time.thread_time() - clock[0]) * 1e3)
    return {name: statistics.median(each) for name, each in times.items()}


def main() -> int:
    """Run one contestant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("who", choices=("bare", "loop", "stages"))
    parser.add_argument("clip", type=Path)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seconds", type=float, default=5)
    given = parser.parse_args()
    if given.who == "loop":
        found = loop(given.checkpoint, given.clip, given.seconds, given.threads)
    else:
        config = load_daemon_config(given.config)
        model = open_model(config.model, trusted_bundle(config.model.bundle, trust_of(config)))
        with model:
            found = (
                bare(model, given.clip, given.seconds)
                if given.who == "bare"
                else stages(model, config, given.clip)
            )
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
