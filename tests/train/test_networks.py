"""Frames go in as a camera gives them, and a checkpoint gives back the very same network."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from contract.errors import ConfigError, InputError
from contract.geometry import InputGeometry
from train.networks.checkpoint import network_from_checkpoint, save_checkpoint
from train.networks.frame_network import FrameNetwork
from train.networks.registry import build_network
from train.networks.torch_segmenter import TorchSegmenter

GEOMETRY = InputGeometry(width=64, height=32)


def save(path, network, **changes):
    fields = {
        "name": "unet-resnet18",
        "geometry": GEOMETRY,
        "model_id": "m-1",
        "training": {"e": 3},
    }
    save_checkpoint(path, network, **(fields | changes))


def test_normalisation_is_inside_and_by_channel(network, frames):
    seen = []
    hook = network.core.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        logits = network(frames[:2])
    hook.remove()
    assert logits.shape == (2, 3, 32, 64)
    blue = (frames[0, 5, 7, 0].float() - 0.406 * 255) / (0.225 * 255)
    red = (frames[0, 5, 7, 2].float() - 0.485 * 255) / (0.229 * 255)
    assert seen[0][0, 0, 5, 7] == pytest.approx(float(blue), abs=1e-5)
    assert seen[0][0, 2, 5, 7] == pytest.approx(float(red), abs=1e-5)


def test_a_checkpoint_gives_back_the_same_answers(tmp_path, network, frames):
    save(tmp_path / "c.pt", network)
    loaded = network_from_checkpoint(tmp_path / "c.pt")
    assert (loaded.geometry, loaded.model_id, loaded.training) == (GEOMETRY, "m-1", {"e": 3})
    assert not loaded.network.training
    with torch.no_grad():
        assert torch.equal(loaded.network(frames[:1]), network(frames[:1]))


class _Bomb:
    def __reduce__(self):
        return (exec, ("import pathlib; pathlib.Path('exploded').touch()",))


def test_a_checkpoint_keeps_the_options_of_its_network(tmp_path, frames):
    options = {"decoder_channels": (16, 8, 8, 8)}
    thin = FrameNetwork(build_network("unet-resnet18-layer3", **options)).eval()
    save(tmp_path / "c.pt", thin, name="unet-resnet18-layer3", options=options)
    loaded = network_from_checkpoint(tmp_path / "c.pt")
    with torch.no_grad():
        assert torch.equal(loaded.network(frames[:1]), thin(frames[:1]))


def test_a_checkpoint_keeps_what_the_network_ends_in(tmp_path, network, frames):
    save(tmp_path / "s.pt", FrameNetwork(network.core, activation="sigmoid"))
    with TorchSegmenter.from_checkpoint(tmp_path / "s.pt") as segmenter:
        found = segmenter.segment(frames[:1].numpy())
    with torch.no_grad():
        wanted = network(frames[:1])[:, 1].sigmoid() * 255
    np.testing.assert_allclose(found.score, wanted.numpy(), atol=0.51)


def test_a_checkpoint_of_before_there_was_a_choice_ends_in_softmax(tmp_path, network):
    save(tmp_path / "c.pt", network)
    content = torch.load(tmp_path / "c.pt", weights_only=True)
    del content["activation"], content["options"]
    torch.save(content, tmp_path / "old.pt")
    assert network_from_checkpoint(tmp_path / "old.pt").network.activation == "softmax"


def test_opening_a_checkpoint_runs_no_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"format": _Bomb()}, tmp_path / "bomb.pt")
    (tmp_path / "raw.pt").write_bytes(pickle.dumps(_Bomb()))
    for name in ("bomb.pt", "raw.pt"):
        with pytest.raises(InputError, match="is no readable checkpoint"):
            network_from_checkpoint(tmp_path / name)
    assert not (tmp_path / "exploded").exists()


def test_what_is_no_checkpoint_is_refused_in_one_line(tmp_path, network):
    save(tmp_path / "whole.pt", network)
    data = (tmp_path / "whole.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(data[: len(data) // 2])
    (tmp_path / "empty.pt").write_bytes(b"")
    torch.save({"state_dict": {}}, tmp_path / "foreign.pt")
    (tmp_path / "folder.pt").mkdir()
    for name in ("cut", "empty", "foreign", "folder", "absent"):
        with pytest.raises(InputError, match=rf"{name}\.pt: is n") as caught:
            network_from_checkpoint(tmp_path / f"{name}.pt")
        assert "\n" not in str(caught.value)


def test_a_checkpoint_of_other_weights_or_classes_is_refused(tmp_path, network):
    save(tmp_path / "c.pt", network)
    content = torch.load(tmp_path / "c.pt", weights_only=True)
    faults = {
        "classes": ["background", "fire"],
        "network": "unet-resnet99",
        "options": {"depth": 3},
        "activation": "tanh",
        "state_dict": {},
        "geometry": {"width": 33, "height": 32},
    }
    for key, value in faults.items():
        torch.save(content | {key: value}, tmp_path / "bad.pt")
        with pytest.raises(InputError, match=r"bad\.pt: ") as caught:
            network_from_checkpoint(tmp_path / "bad.pt")
        assert "\n" not in str(caught.value)


def test_an_unknown_network_names_the_known():
    with pytest.raises(ConfigError, match=r"networks are .*unet-resnet18"):
        build_network("unet")
    with pytest.raises(ConfigError, match="unexpected keyword"):
        build_network("unet-resnet18", depth=3)


def test_thinner_decoders_keep_the_encoder_and_lose_parameters():
    sizes, encoders = [], []
    for name in ("unet-resnet18", "unet-resnet18-slim", "unet-resnet18-thin"):
        core = build_network(name).eval()
        sizes.append(sum(p.numel() for p in core.parameters()))
        encoders.append({k: v.shape for k, v in core.get_submodule("encoder").state_dict().items()})
        with torch.no_grad():
            assert core(torch.zeros(1, 3, 32, 64)).shape == (1, 3, 32, 64)
    assert sizes[0] > sizes[1] > sizes[2]
    assert encoders[0] == encoders[1] == encoders[2]
