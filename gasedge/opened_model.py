"""Open whatever holds a network: a checkpoint, a bundle or an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contract.bundle import Bundle, is_bundle
from contract.errors import ConfigError
from contract.fingerprint import ENGINE_SUFFIX, read_fingerprint
from contract.precision import Precision

if TYPE_CHECKING:
    from pathlib import Path

    from contract.segmenter import Segmenter

__all__ = ["opened_model"]


def opened_model(
    model: Path,
    of_bundle: Path | None,
    precision: Precision | None,
    backend: str,
    threads: int | None,
) -> tuple[Segmenter, Bundle | None, Precision]:
    """The model as a segmenter, its bundle if it has one, and the precision it runs at.

    Args:
        model: checkpoint, bundle or engine.
        of_bundle: the bundle that an engine was built from.
        precision: None takes an engine's own, else FP32.
        backend: name of a backend or "auto".
        threads: of the CPU; None takes all.

    Raises:
        ConfigError: when the choices do not go together.
        GasedgeError: when the model cannot be opened.
    """
    from edge_runtime.backends.open import open_backend

    if is_bundle(model):
        bundle, used = Bundle.open(model), precision or Precision.FP32
        return open_backend(bundle, used, backend=backend, threads=threads), bundle, used
    if not model.is_file():
        raise ConfigError(f"{model}: is neither a bundle nor a file; give a .pt, .gasedge, .engine")
    if model.suffix == ENGINE_SUFFIX:
        if of_bundle is None:
            raise ConfigError(f"{model}: an engine needs the bundle it was built from: --bundle")
        built = read_fingerprint(model).precision
        if precision not in (None, built):
            raise ConfigError(f"{model}: was built for {built}, not for {precision}")
        bundle = Bundle.open(of_bundle)
        opened = open_backend(bundle, built, backend="tensorrt", engine=model)
        return opened, bundle, built
    if precision not in (None, Precision.FP32) or backend != "auto":
        raise ConfigError(f"{model}: a checkpoint runs in torch at fp32; export it for the rest")
    from contract.packages import need

    need("torch", extra="train")
    from train.networks.torch_segmenter import TorchSegmenter

    return TorchSegmenter.from_checkpoint(model), None, Precision.FP32
