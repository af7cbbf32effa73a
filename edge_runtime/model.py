"""Open the model that is to run and let it prove itself on the bundle's golden frames."""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from contract.bundle import graph_name
from contract.closing import Closing
from contract.errors import EngineError, EngineMismatchError, IntegrityError
from contract.fingerprint import read_fingerprint
from contract.pictures import fit_picture
from contract.segmenter import Segmentation
from contract.signing import trusted_bundle
from contract.tags import HealthCode
from edge_runtime.backends.engine_rebuild import EngineRebuild
from edge_runtime.backends.known_answer import known_answer_test
from edge_runtime.backends.open import open_backend
from edge_runtime.camera_state import ModelFacts
from edge_runtime.pixels import bgr_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from pathlib import Path

    from numpy.typing import NDArray

    from contract.bundle import Bundle
    from contract.segmenter import Run, Segmenter
    from contract.signing import Trust
    from edge_runtime.config import ModelConfig
    from edge_runtime.pixels import CameraPicture

__all__ = ["ModelOpener", "RunningModel", "open_model"]

_log = logging.getLogger(__name__)

_BUILD_AGAIN_S = 3600.0


@dataclass(slots=True)
class RunningModel(Closing):
    """A segmenter that passed its known-answer test; a context manager that closes it.

    A backend that answers only when it is done gets a thread, so that one picture is judged while
    the next is segmented.
    """

    segmenter: Segmenter
    facts: ModelFacts
    config: ModelConfig | None = None  # that it was opened from
    bundle: Bundle | None = None  # likewise; trusted
    _thread: ThreadPoolExecutor | None = field(default=None, init=False)

    @property
    def manifest_sha256(self) -> str:
        """Of its bundle; "" without one."""
        return "" if self.bundle is None else self.bundle.manifest_sha256

    @property
    def batch(self) -> int:
        """Pictures that one run takes at most."""
        return int(getattr(self.segmenter, "batch", 1))

    @property
    def depth(self) -> int:
        """Runs that are worth having under way at a time."""
        return int(getattr(self.segmenter, "depth", 2))

    def start(self, pictures: list[CameraPicture], done: Callable[[], None]) -> Run:
        """Begin to segment pictures of any size, at most `batch`.

        Args:
            pictures: they must not change before the run is done.
            done: called by any thread when it is done.

        Raises:
            EngineError: when the backend fails; `result` of the run raises it, too.
            DeviceError: as EngineError, when the GPU needs a new process.
        """
        start = getattr(self.segmenter, "start", None)
        if start is not None:
            run: Run = start(self._fitted(pictures), done)
            return run
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="gasedge-network")
        return _Answering(self._thread.submit(self._segmented, pictures), done)

    def close(self) -> None:
        """Free what the backend holds, once what is under way is done."""
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None
        self.segmenter.close()

    def _fitted(self, pictures: list[CameraPicture]) -> NDArray[np.uint8]:
        fitted = [fit_picture(bgr_of(each), self.segmenter.geometry) for each in pictures]
        return fitted[0][None] if len(fitted) == 1 else np.stack(fitted)

    def _segmented(self, pictures: list[CameraPicture]) -> list[Segmentation]:
        together = getattr(self.segmenter, "segment_pictures", None)
        if together is not None:  # the GPU fits pictures by itself
            answers: list[Segmentation] = together(pictures)
            return answers
        found = self.segmenter.segment(self._fitted(pictures))
        return [
            Segmentation(found.mask[i : i + 1], found.score[i : i + 1])
            for i in range(len(pictures))
        ]


class _Answering:
    """A run in the model's own thread."""

    def __init__(self, answer: Future[list[Segmentation]], done: Callable[[], None]) -> None:
        self._answer = answer
        answer.add_done_callback(lambda _: done())

    def is_done(self) -> bool:
        return self._answer.done()

    def result(self) -> list[Segmentation]:
        return self._answer.result()


def open_model(config: ModelConfig, bundle: Bundle) -> RunningModel:
    """Open the bundle's network as configured and run its known-answer test.

    Args:
        config: which of its graphs, and on what.
        bundle: as `trusted_bundle` opened it.

    Raises:
        EngineError: when it cannot be opened or fails the test.
        IntegrityError: when the bundle is not trusted, or a file is not what it should be.
        ConfigError: when the bundle holds no such precision.
    """
    if bundle.signed_by is None:
        raise IntegrityError(f"{bundle.path}: its signature was not checked, so it does not run")
    if config.engine is not None:
        _require_one_size(config.engine, bundle)
    segmenter = open_backend(
        bundle,
        config.precision,
        backend=config.backend,
        engine=config.engine,
        threads=config.threads,
        streams=config.streams,
    )
    try:
        answer = known_answer_test(segmenter, bundle, config.precision)
    except BaseException:
        segmenter.close()
        raise
    if not answer.passed:
        segmenter.close()
        raise EngineError(f"known-answer test not passed: {answer.detail}")
    _log.info("signed by key %s; known-answer test passed: %s", bundle.signed_by, answer.detail)
    facts = ModelFacts(
        model_id=bundle.manifest.model_id,
        sha256=bundle.manifest.files[graph_name(config.precision)].sha256,
        backend=segmenter.name,
        fault=HealthCode(0),
    )
    return RunningModel(segmenter, facts, config, bundle)


def _require_one_size(engine: Path, bundle: Bundle) -> None:
    """Refuse an engine for a range of sizes: every frame is fitted into the bundle's own."""
    if sizes := read_fingerprint(engine).builder.get("sizes"):
        own = bundle.manifest.input
        raise EngineError(
            f"{engine}: was built for frames of {sizes} pixels, but gasedge run feeds the bundle's "
            f"own {own.width}x{own.height} alone; build it without --sizes, which is faster"
        )


class ModelOpener(Closing):
    """Opens the model each time it is called; an engine that does not fit is built anew meanwhile.

    No call waits for the build: until it is done there is no model, and the error says why. A
    build that failed is repeated for the same bundle after an hour only, for what kept it, such as
    a full disk, may be gone; the engine is looked at again all the same, for somebody may have
    built it by hand.

    Args:
        trust: what may run, asked anew each time.
        keep_counter: is told the rollback counter of a model that runs.
    """

    def __init__(
        self, trust: Callable[[], Trust], keep_counter: Callable[[int], None] = lambda _: None
    ) -> None:
        self._trust = trust
        self._keep_counter = keep_counter
        self._rebuild: EngineRebuild | None = None
        self._building = ""  # manifest of the bundle that is built from
        self._failed: dict[str, tuple[EngineError, float]] = {}  # by manifest, with its time

    def __call__(self, config: ModelConfig) -> RunningModel:
        """Open the model, or say what it still waits for.

        Raises:
            EngineError: while the engine is built anew, or when that failed.
            GasedgeError: what `open_model` raises.
        """
        if self._rebuild is not None:
            if self._rebuild.is_running:
                raise EngineError(str(self._rebuild))
            rebuild, self._rebuild = self._rebuild, None
            try:
                rebuild.finish()
            except EngineError as error:
                self._failed[self._building] = (error, time.monotonic())
                raise
        bundle = trusted_bundle(config.bundle, self._trust())
        try:
            model = open_model(config, bundle)
        except EngineMismatchError as error:
            if config.engine is None:
                raise
            failed, at_s = self._failed.get(bundle.manifest_sha256, (None, 0.0))
            if failed is not None and time.monotonic() - at_s < _BUILD_AGAIN_S:
                raise failed from error
            self._rebuild = EngineRebuild(bundle, config.precision, config.engine, str(error))
            self._building = bundle.manifest_sha256
            raise
        self._failed.clear()
        self._keep_counter(bundle.manifest.rollback_counter)
        return model

    @property
    def is_building(self) -> bool:
        """Whether an engine is being built anew."""
        return self._rebuild is not None

    def close(self) -> None:
        """End a build that is under way."""
        if self._rebuild is not None:
            self._rebuild.close()
            self._rebuild = None
