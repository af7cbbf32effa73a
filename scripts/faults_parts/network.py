"""A network that costs next to nothing and finds what is bright: the daemon is on trial, not it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from contract.bundle import Bundle, graph_name
from contract.geometry import InputGeometry
from contract.packages import need
from contract.signing import sign_bundle
from contract.signing_key import public_pem

if TYPE_CHECKING:
    from typing import Any

__all__ = ["altered_copy", "copies", "signed", "threshold_bundle"]

_KEY = "signing.raw"
_NAME = "threshold.gasedge"
_MEAN, _STD = 110.0, 55.0
_GAS_ABOVE, _MACHINE_BELOW = 190.0, 25.0
_STEEP = 12.0  # logits by standard deviation: no pixel of a picture is in doubt


def threshold_bundle(folder: Path) -> Path:
    """Export it to `folder` and sign it, where that is not done yet; the key lies beside it.

    Args:
        folder: keeps it for the next time.
    """
    out = folder / _NAME
    if not out.with_suffix(".pub").exists():
        shutil.rmtree(out, ignore_errors=True)
        _export(out)
        signed(out)
    return out


def signed(bundle: Path, *, key: Any = None, counter: int | None = None) -> Path:
    """Sign a bundle, by default with the key that all bundles in its folder have."""
    ed25519 = need("cryptography.hazmat.primitives.asymmetric.ed25519", extra="cpu")
    file = bundle.parent / _KEY
    if key is None and file.exists():
        key = ed25519.Ed25519PrivateKey.from_private_bytes(file.read_bytes())
    elif key is None:
        key = ed25519.Ed25519PrivateKey.generate()
        file.write_bytes(key.private_bytes_raw())
    sign_bundle(Bundle.open(bundle), key, counter=counter)
    bundle.with_suffix(".pub").write_bytes(public_pem(key))
    return bundle


def copies(bundle: Path, folder: Path) -> Path:
    """A copy of a bundle in `folder` with counter 2, and `older.gasedge` beside it with 1."""
    shutil.copy(bundle.parent / _KEY, folder)
    for name, counter in (("older.gasedge", 1), ("own.gasedge", 2)):
        signed(Path(shutil.copytree(bundle, folder / name)), counter=counter)
    return folder / name


def altered_copy(bundle: Path, out: Path, how: str) -> Path:
    """A copy whose network is another one, while its known answers stay; signed like the rest.

    Args:
        bundle: the right one.
        out: the copy, in the same folder.
        how: "zeros" finds nothing, "swapped" takes gas for machines.
    """
    onnx = need("onnx", extra="export")
    opened = Bundle.open(bundle)
    files = {}
    for precision in opened.precisions:
        model = onnx.load_from_string(opened.graph(precision))
        _alter(onnx, model, how)
        files[graph_name(precision)] = model.SerializeToString()
    opened.copied(out).updated(files)
    return signed(out)


def _alter(onnx: Any, model: Any, how: str) -> None:
    changed = 0
    for weights in model.graph.initializer:
        values = onnx.numpy_helper.to_array(weights).copy()
        if values.shape not in ((3, 3, 1, 1), (3,)) or "core" not in weights.name:
            continue
        values = values[[0, 2, 1]] if how == "swapped" else np.zeros_like(values)
        weights.CopyFrom(onnx.numpy_helper.from_array(values, weights.name))
        changed += 1
    if changed != 2:
        names = [(each.name, list(each.dims)) for each in model.graph.initializer]
        raise ValueError(f"weights and bias of the threshold are not among {names}")


def _export(out: Path) -> None:
    torch = need("torch", extra="train,export")

    from export.bundle import bundle_from_network
    from tests.bundles import tiny_pictures
    from train.networks.frame_network import FrameNetwork

    core = torch.nn.Conv2d(3, 3, 1)  # background, gas, machine
    with torch.no_grad():
        core.weight.zero_()
        core.bias.zero_()
        for place, sign, limit in ((1, 1, _GAS_ABOVE), (2, -1, _MACHINE_BELOW)):
            core.weight[place] = sign * _STEEP / 3
            core.bias[place] = -sign * _STEEP * (limit - _MEAN) / _STD
    bundle_from_network(
        FrameNetwork(core, mean=(_MEAN,) * 3, std=(_STD,) * 3).eval(),
        InputGeometry(width=64, height=64),
        out,
        model_id="threshold",
        training={"weights": "a threshold, set by hand"},
        golden_frames=list(tiny_pictures()),
    )
