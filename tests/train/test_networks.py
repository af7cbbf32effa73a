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
from train.networks.initial_weights import fill_encoder
from train.networks.registry import build_network
from train.networks.torch_segmenter import TorchSegmenter

GEOMETRY = InputGeometry(width=64, height=32)


@pytest.fixture(scope="module")
def network() -> FrameNetwork:
    torch.manual_seed(0)
    return FrameNetwork(build_network("unet-resnet18")).eval()


@pytest.fixture(scope="module")
def frames() -> torch.Tensor:
    random = np.random.default_rng(0)
    coarse = random.integers(0, 255, (16, 4, 8, 3), np.uint8)
    return torch.from_numpy(coarse.repeat(8, axis=1).repeat(8, axis=2))


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


def features(network: FrameNetwork, frames: torch.Tensor) -> torch.Tensor:
    normalised = (frames.float() - network.mean) / network.std
    with torch.no_grad():
        return network.core.encoder(normalised.permute(0, 3, 1, 2))[-1]


@pytest.fixture(scope="module")
def pretrained() -> FrameNetwork:
    """Stands for weights learned elsewhere: no layer's statistics are the initial ones."""
    torch.manual_seed(1)
    network = FrameNetwork(build_network("unet-resnet18")).eval()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.running_mean, -0.3, 0.3)
            torch.nn.init.uniform_(layer.running_var, 0.5, 2)
            torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
            torch.nn.init.uniform_(layer.bias, -0.2, 0.2)
    return network


def as_rgb(network: FrameNetwork) -> dict[str, torch.Tensor]:
    state = {k: v.clone() for k, v in network.core.encoder.state_dict().items()}
    state["conv1.weight"] = state["conv1.weight"].flip(1)
    return state


def folded(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same function with every BatchNorm folded into its convolution."""
    out = {k: v for k, v in state.items() if k.endswith(".weight") and v.ndim == 4}
    for key in list(out):
        norm = (
            key.replace("conv", "bn")
            .replace("downsample.0", "downsample.1")
            .removesuffix(".weight")
        )
        scale = state[f"{norm}.weight"] / (state[f"{norm}.running_var"] + 1e-5).sqrt()
        out[key] = out[key] * scale[:, None, None, None]
        out[f"{norm}.bias"] = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
        out[f"{norm}.weight"] = torch.ones_like(scale)
        out[f"{norm}.running_mean"] = torch.zeros_like(scale)
        out[f"{norm}.running_var"] = torch.full_like(scale, 1 - 1e-5)
    return out


def test_a_full_file_of_rgb_weights_gives_the_features_of_its_network(
    tmp_path, network, pretrained, frames
):
    torch.save(as_rgb(pretrained), tmp_path / "rgb.pt")
    target = FrameNetwork(build_network("unet-resnet18"))
    filled = fill_encoder(target, tmp_path / "rgb.pt", frames)
    assert filled.random == ()
    assert filled.unfolded == ()
    torch.testing.assert_close(features(target.eval(), frames), features(pretrained, frames))


def test_folded_weights_keep_their_meaning_in_training_too(tmp_path, pretrained, frames):
    arrays = {k: v.numpy() for k, v in folded(as_rgb(pretrained)).items()}
    np.savez(tmp_path / "folded.npz", **arrays)
    target = FrameNetwork(build_network("unet-resnet18"))
    filled = fill_encoder(target, tmp_path / "folded.npz", frames)
    assert filled.random == ()
    assert len(filled.unfolded) == 20
    wanted = features(pretrained, frames)
    close = {"rtol": 0.02, "atol": 0.02}
    torch.testing.assert_close(features(target.eval(), frames), wanted, **close)
    # normalising by the batch it was measured on changes nothing either
    torch.testing.assert_close(features(target.train(), frames), wanted, **close)


def test_a_partial_file_says_exactly_what_stayed_random(tmp_path, pretrained, frames):
    arrays = {k: v.numpy() for k, v in folded(as_rgb(pretrained)).items()}
    del arrays["layer4.1.conv2.weight"]
    np.savez(tmp_path / "part.npz", **arrays)
    target = FrameNetwork(build_network("unet-resnet18"))
    before = target.core.encoder.layer4[1].bn2.bias.clone()
    filled = fill_encoder(target, tmp_path / "part.npz", frames)
    names = ["bias", "running_mean", "running_var", "weight"]
    assert filled.random == (*[f"layer4.1.bn2.{n}" for n in names], "layer4.1.conv2.weight")
    # a BatchNorm without its convolution means nothing
    assert torch.equal(target.core.encoder.layer4[1].bn2.bias, before)
    assert "layer4.1.conv2.weight" in filled.summary


def test_weights_that_are_missing_or_do_not_fit_are_an_error(tmp_path, frames):
    target = FrameNetwork(build_network("unet-resnet18"))
    with pytest.raises(ConfigError, match="there is no such file"):
        fill_encoder(target, tmp_path / "none.npz", frames)
    with pytest.raises(ConfigError, match="weights are read from"):
        fill_encoder(target, tmp_path / "w.onnx", frames)
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(InputError, match="cannot be read as weights"):
        fill_encoder(target, tmp_path / "bad.npz", frames)
    np.savez(tmp_path / "other.npz", **{"stem.weight": np.zeros(3, np.float32)})
    with pytest.raises(InputError, match="holds no tensor named like"):
        fill_encoder(target, tmp_path / "other.npz", frames)
    np.savez(tmp_path / "shape.npz", **{"conv1.weight": np.zeros((64, 3, 3, 3), np.float32)})
    with pytest.raises(InputError, match=r"conv1\.weight has shape \(64, 3, 3, 3\)"):
        fill_encoder(target, tmp_path / "shape.npz", frames)
