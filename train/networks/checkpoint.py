"""The result of a training: weights and what is needed to rebuild and describe the network.

A file holds plain data and tensors only and is loaded with `weights_only`, so opening a stranger's
checkpoint runs none of its code.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from contract.atomic import write_bytes
from contract.errors import ConfigError, InputError
from contract.geometry import InputGeometry
from contract.label_map import CLASSES
from contract.trained_pictures import TrainedPictures
from train.networks.frame_network import FrameNetwork
from train.networks.registry import build_network

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = [
    "LoadedNetwork",
    "network_from_checkpoint",
    "pictures_of_checkpoint",
    "save_checkpoint",
]

_FORMAT = "gasedge checkpoint 1"
_MODEL_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True)
class LoadedNetwork:
    """A network rebuilt from a checkpoint, in eval mode on the CPU."""

    network: FrameNetwork
    geometry: InputGeometry
    model_id: str
    training: dict[str, str | int | float | bool | None]
    int8_scales: dict[str, float] = field(default_factory=dict)  # steps learned with, by activation
    pictures: TrainedPictures = field(default_factory=TrainedPictures)


def save_checkpoint(  # noqa: PLR0913 - each is a part of the file
    path: Path,
    network: FrameNetwork,
    *,
    name: str,
    geometry: InputGeometry,
    model_id: str,
    training: dict[str, str | int | float | bool | None],
    options: Mapping[str, Any] | None = None,
    int8_scales: Mapping[str, float] | None = None,
    pictures: TrainedPictures | None = None,
) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        path: of the file.
        network: around the core that `registry.build_network(name, **options)` builds.
        name: of the core in the registry.
        geometry: of the frames it was trained on.
        model_id: letters, digits, `_.-`, at most 64.
        training: how it came to be, flat and plain; the bundle's manifest takes it over.
        options: of the core.
        int8_scales: steps that it learned with under fake quantisation, by activation.
        pictures: that it was trained on, those of what it began from among them.
    """
    if not _MODEL_ID.fullmatch(model_id):
        raise ConfigError(f"model id {model_id!r}: letters, digits and _.- only, at most 64")
    weights = {
        key: value.detach().to("cpu").contiguous() for key, value in network.state_dict().items()
    }
    content = {
        "format": _FORMAT,
        "network": name,
        "options": dict(options or {}),
        "activation": network.activation,
        "geometry": geometry.model_dump(mode="json"),
        "classes": [each.name for each in CLASSES],
        "model_id": model_id,
        "training": dict(training),
        "int8_scales": dict(int8_scales or {}),
        "pictures": sorted(pictures.hashes) if pictures else [],
        "pictures_complete": bool(pictures and pictures.complete),
        "state_dict": weights,
    }
    # torch's own writer gives a full disk no clear error
    buffer = io.BytesIO()
    torch.save(content, buffer)
    buffer.seek(0)
    torch.load(buffer, weights_only=True)  # what could not be read back is never written
    write_bytes(path, buffer.getvalue())


def network_from_checkpoint(path: Path) -> LoadedNetwork:
    """Rebuild the network of a checkpoint.

    Raises:
        InputError: when the file is missing, damaged or no checkpoint of gasedge.
    """
    content = _content(path)
    try:
        if content["classes"] != [each.name for each in CLASSES]:
            raise InputError(f"{path}: tells apart {content['classes']}, not gasedge's classes")
        core = build_network(content["network"], **content.get("options", {}))
        network = FrameNetwork(core, activation=content.get("activation", "softmax"))
        network.load_state_dict(content["state_dict"])
        geometry = InputGeometry.model_validate(content["geometry"])
        loaded = LoadedNetwork(
            network.eval(),
            geometry,
            content["model_id"],
            content["training"],
            dict(content.get("int8_scales", {})),
            _pictures(content),
        )
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, ConfigError) as error:
        first = str(error).splitlines()[0]
        raise InputError(f"{path}: its network cannot be rebuilt ({first})") from error
    return loaded


def pictures_of_checkpoint(path: Path) -> TrainedPictures:
    """What a network of gasedge was trained on.

    Nothing is known of what is no checkpoint, such as the state of a run.
    """
    try:
        return _pictures(_content(path))
    except (InputError, KeyError, AttributeError):
        return TrainedPictures()


def _pictures(content: Mapping[str, Any]) -> TrainedPictures:
    # before they were carried over, a network that began from another knew its own alone
    began_anew = "network tensors" not in str(content["training"].get("start", ""))
    hashes = frozenset(content.get("pictures", ()))
    complete = bool(hashes) and bool(content.get("pictures_complete", began_anew))
    return TrainedPictures(hashes, complete)


def _content(path: Path) -> dict[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path}: is not there; gasedge train writes it") from error
    except Exception as error:
        # torch raises a dozen types here, for a folder, an empty, a cut or a foreign file
        kind = type(error).__name__
        raise InputError(f"{path}: is no readable checkpoint ({kind}); copy it again") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise InputError(f"{path}: is not a checkpoint of gasedge train")
    return content
