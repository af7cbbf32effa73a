"""Read a local file of weights as named tensors, whatever wrote it; no code in it is run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from contract.errors import ConfigError, InputError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["plain_name", "read_weights", "require_file"]

_TORCH = (".pt", ".pth", ".ckpt", ".bin")
_SUFFIXES = (".npz", ".safetensors", *_TORCH)
_WRAPPERS = ("state_dict", "model_state_dict", "model")  # where trainers keep the weights
_PREFIXES = ("module.", "model.", "network.", "core.", "encoder.", "backbone.")


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read the tensors of an .npz, .safetensors, .pt, .pth, .ckpt or .bin file.

    Returns:
        Tensors by `plain_name`.

    Raises:
        ConfigError: when there is no file at `path` or its kind is unknown.
        InputError: when it cannot be read, or a value in it is no number.
    """
    require_file(path)
    try:
        found = _tensors(path)
    except Exception as error:
        # each reader raises its own types for a damaged file
        first = str(error).strip().partition("\n")[0]
        raise InputError(f"{path}: cannot be read as weights ({first})") from error
    for name, tensor in found.items():
        if not torch.isfinite(tensor).all():
            raise InputError(f"{path}: {name} holds values that are not numbers")
    return {plain_name(name): tensor for name, tensor in found.items()}


def require_file(path: Path) -> None:
    """See that there is a file of a known kind.

    Raises:
        ConfigError: when there is not.
    """
    if path.suffix not in _SUFFIXES:
        raise ConfigError(f"{path}: weights are read from {', '.join(_SUFFIXES)}")
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file of initial weights")


def plain_name(name: str) -> str:
    """Name of a tensor without what wrappers put before it: `module.encoder.conv1.weight`."""
    while prefix := next((each for each in _PREFIXES if name.startswith(each)), None):
        name = name.removeprefix(prefix)
    return name


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            return {key: torch.from_numpy(arrays[key]) for key in arrays.files}
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return dict(load_file(path))
    content: Any = torch.load(path, map_location="cpu", weights_only=True)
    inner = next((content[key] for key in _WRAPPERS if isinstance(content.get(key), dict)), content)
    return {key: value for key, value in inner.items() if isinstance(value, torch.Tensor)}
