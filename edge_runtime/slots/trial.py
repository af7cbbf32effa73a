"""Try a model beside the one that runs: a process of its own, with what time is left over.

A model that takes its process down, or its part of the GPU, does so here. What is found goes to
standard output, a line of JSON each; the last one is the report or says why there is none.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from contract.errors import GasedgeError, InputError
from contract.label_map import GAS_SMOKE
from contract.packages import need
from contract.signing import trusted_bundle
from edge_runtime.backends.known_answer import golden_frame, golden_mask
from edge_runtime.config import load_daemon_config
from edge_runtime.model import open_model
from edge_runtime.model_trust import trust_of
from edge_runtime.slots.comparison import Comparison, as_large_as
from edge_runtime.slots.daemon_door import frames_of
from edge_runtime.slots.store import SlotStore, placed, settled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from contract.signing import Trust
    from edge_runtime.config import DaemonConfig, ModelConfig
    from edge_runtime.model import RunningModel

__all__ = ["main"]

_NICE = 5  # a quarter of a core that the daemon wants for itself, and all that it leaves over
_TELL_S = 0.5
_WARM = 3  # runs that are not timed
_HUNG_S = 20.0  # as the daemon judges its own


def main(arguments: list[str]) -> int:
    """Try a model; the exit code is 0 when there is a report, good or bad."""
    parser = argparse.ArgumentParser()
    parser.add_argument("config", type=Path)
    parser.add_argument("candidate", type=Path)
    parser.add_argument("--engine")
    parser.add_argument("--shadow", type=float, default=0.0)
    parser.add_argument("--log", type=int, default=logging.WARNING)
    given = parser.parse_args(arguments)
    logging.basicConfig(level=given.log, stream=sys.stderr)
    os.nice(_NICE)
    need("cv2", extra="cpu").setNumThreads(1)
    try:
        config = load_daemon_config(given.config)
        _tell(report=_tried(config, given.candidate, given.engine, given.shadow))
    except GasedgeError as error:
        _tell(failed=str(error))
        return error.exit_code
    return 0


def _tried(
    config: DaemonConfig, candidate: Path, engine: str | None, shadow_s: float
) -> dict[str, Any]:
    slots, trust = SlotStore(config.model.bundle).read(), trust_of(config)
    names = [camera.name for camera in config.camera]
    with contextlib.ExitStack() as cleanup:
        new = _opened(placed(config.model, candidate, engine), trust)
        cleanup.enter_context(new)
        _tell(step="known-answer test passed")
        comparison = Comparison(config.update, names if shadow_s else ())
        if slots.active is None:
            comparison.not_compared = "there was none before"
            return comparison.as_json()
        try:
            running = cleanup.enter_context(_opened(settled(config.model), trust))
        except GasedgeError as error:
            if shadow_s:
                raise InputError(f"the model that runs cannot be compared with: {error}") from error
            comparison.not_compared = str(error)
            return comparison.as_json()
        comparison.golden_gas = _golden_gas(running, new)
        if shadow_s:
            _shadow(config, comparison, running, new, shadow_s)
        return comparison.as_json()


def _opened(config: ModelConfig, trust: Trust) -> RunningModel:
    return open_model(config, trusted_bundle(config.bundle, trust))


def _golden_gas(running: RunningModel, new: RunningModel) -> float | None:
    """Share of the gas in the running model's golden frames that the new one finds."""
    bundle, config = running.bundle, running.config
    if bundle is None or config is None:
        raise InputError("the model that runs was opened from no bundle")
    gas = found = 0
    for entry in bundle.manifest.golden:
        golden = golden_mask(bundle, entry, config.precision)
        mask = as_large_as(_mask(new, golden_frame(bundle, entry)), golden)
        gas += int((golden == GAS_SMOKE).sum())
        found += int(((golden == GAS_SMOKE) & (mask == GAS_SMOKE)).sum())
    return found / gas if gas else None


def _shadow(
    config: DaemonConfig,
    comparison: Comparison,
    running: RunningModel,
    new: RunningModel,
    shadow_s: float,
) -> None:
    """Compare live frames for so long; compute for no more than the configured share of it."""
    share = config.update.shadow_share
    begin_s = told_s = time.monotonic()
    cpu_begin_s = time.process_time()
    compared = 0
    for taken in frames_of(config.model.bundle):
        now_s = time.monotonic()
        if now_s - begin_s >= shadow_s:
            comparison.cpu_share = (time.process_time() - cpu_begin_s) / (now_s - begin_s)
            return
        if now_s - told_s >= _TELL_S:
            told_s = now_s
            _tell(seconds=now_s - begin_s, compared=compared)
        if taken is None:
            continue
        camera, picture, mask = taken
        begun_s = time.monotonic()
        answer = _mask(new, picture)
        between_s = time.monotonic()
        _mask(running, picture)
        end_s = time.monotonic()
        comparison.take(camera, mask, answer)
        compared += 1
        if compared > _WARM:
            comparison.new_ms.append((between_s - begun_s) * 1e3)
            comparison.running_ms.append((end_s - between_s) * 1e3)
        rest_s = (time.monotonic() - begun_s) * (1 / share - 1)
        time.sleep(max(0.0, min(rest_s, begin_s + shadow_s - time.monotonic())))


def _mask(model: RunningModel, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The (h, w) classes of a picture, cut to it."""
    done = threading.Event()
    run = model.start([picture], done.set)
    if not done.wait(_HUNG_S):
        _tell(failed=f"{model.facts.model_id} gave no mask of a frame within {_HUNG_S:g} s")
        os._exit(1)  # to close a model that hangs would hang, too
    (segmentation,) = run.result()
    fit = model.segmenter.geometry.of(picture.shape[1], picture.shape[0])
    return np.ascontiguousarray(segmentation.mask[0][fit.valid])


def _tell(**said: Any) -> None:
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()
