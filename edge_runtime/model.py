"""Open the model that is to run and let it prove itself on the bundle's golden frames."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contract.bundle import Bundle, graph_name
from contract.errors import EngineError
from contract.pictures import fit_picture
from contract.tags import HealthCode
from edge_runtime.backends.known_answer import known_answer_test
from edge_runtime.backends.open import open_backend
from edge_runtime.camera_state import ModelFacts

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from contract.segmenter import Segmentation, Segmenter
    from edge_runtime.config import ModelConfig

__all__ = ["RunningModel", "open_model"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunningModel:
    """A segmenter that passed its known-answer test."""

    segmenter: Segmenter
    facts: ModelFacts

    def segment_picture(self, picture: NDArray[np.uint8]) -> Segmentation:
        """Segment a (h, w, 3) BGR picture of any size.

        Raises:
            EngineError: when the backend fails.
            DeviceError: when the GPU needs a new process.
        """
        fast: Callable[[NDArray[np.uint8]], Segmentation] | None = getattr(
            self.segmenter, "segment_picture", None
        )
        if fast is not None:
            return fast(picture)
        return self.segmenter.segment(fit_picture(picture, self.segmenter.geometry)[None])


def open_model(config: ModelConfig) -> RunningModel:
    """Open the bundle's network as configured and run its known-answer test.

    Raises:
        EngineError: when it cannot be opened or fails the test.
        IntegrityError: when the bundle or the engine is not what it should be.
        ConfigError: when the bundle holds no such precision.
    """
    bundle = Bundle.open(config.bundle)
    segmenter = open_backend(
        bundle,
        config.precision,
        backend=config.backend,
        engine=config.engine,
        threads=config.threads,
    )
    try:
        answer = known_answer_test(segmenter, bundle, config.precision)
    except BaseException:
        segmenter.close()
        raise
    if not answer.passed:
        segmenter.close()
        raise EngineError(f"known-answer test not passed: {answer.detail}")
    _log.info("known-answer test passed: %s", answer.detail)
    facts = ModelFacts(
        model_id=bundle.manifest.model_id,
        sha256=bundle.manifest.files[graph_name(config.precision)].sha256,
        backend=segmenter.name,
        fault=HealthCode(0),
    )
    return RunningModel(segmenter, facts)
