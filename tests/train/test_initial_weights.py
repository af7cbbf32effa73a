"""Weights from a local file: what fits is filled and named, and means what it meant before."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from contract.errors import ConfigError, InputError
from contract.geometry import InputGeometry
from contract.pictures import pictures_in, read_picture
from train.networks.checkpoint import save_checkpoint
from train.networks.frame_network import FrameNetwork
from train.networks.initial_weights import fill_network
from train.networks.registry import NETWORKS, build_network
from train.networks.weight_files import plain_name

GEOMETRY = InputGeometry(width=64, height=32)


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
    filled = fill_network(target, tmp_path / "rgb.pt", frames)
    assert filled.random == ()
    assert filled.unfolded == ()
    torch.testing.assert_close(features(target.eval(), frames), features(pretrained, frames))


def test_folded_weights_keep_their_meaning_in_training_too(tmp_path, pretrained, frames):
    arrays = {k: v.numpy() for k, v in folded(as_rgb(pretrained)).items()}
    np.savez(tmp_path / "folded.npz", **arrays)
    target = FrameNetwork(build_network("unet-resnet18"))
    filled = fill_network(target, tmp_path / "folded.npz", frames)
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
    filled = fill_network(target, tmp_path / "part.npz", frames)
    names = ["bias", "running_mean", "running_var", "weight"]
    assert filled.random == (*[f"layer4.1.bn2.{n}" for n in names], "layer4.1.conv2.weight")
    # a BatchNorm without its convolution means nothing
    assert torch.equal(target.core.encoder.layer4[1].bn2.bias, before)
    assert "layer4.1.conv2.weight" in filled.summary


def test_weights_that_are_missing_or_do_not_fit_are_an_error(tmp_path, frames):
    target = FrameNetwork(build_network("unet-resnet18"))
    with pytest.raises(ConfigError, match="there is no such file"):
        fill_network(target, tmp_path / "none.npz", frames)
    with pytest.raises(ConfigError, match="weights are read from"):
        fill_network(target, tmp_path / "w.onnx", frames)
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(InputError, match="cannot be read as weights"):
        fill_network(target, tmp_path / "bad.npz", frames)
    np.savez(tmp_path / "other.npz", **{"stem.weight": np.zeros(3, np.float32)})
    with pytest.raises(InputError, match=r"none of its 1 tensors is named as in this network$"):
        fill_network(target, tmp_path / "other.npz", frames)
    np.savez(tmp_path / "shape.npz", **{"conv1.weight": np.zeros((64, 3, 3, 3), np.float32)})
    with pytest.raises(InputError, match=r"conv1\.weight has shape \(64, 3, 3, 3\)"):
        fill_network(target, tmp_path / "shape.npz", frames)


@pytest.mark.parametrize("prefix", ["", "module.", "encoder.", "module.backbone."])
def test_wrappers_around_the_names_do_not_hide_them(tmp_path, pretrained, frames, prefix):
    state = {f"{prefix}{name}": value for name, value in as_rgb(pretrained).items()}
    state[f"{prefix}fc.weight"] = torch.zeros(1000, 512)
    save_file(state, tmp_path / "w.safetensors")
    target = FrameNetwork(build_network("unet-resnet18"))
    filled = fill_network(target, tmp_path / "w.safetensors", frames)
    assert filled.random == ()
    assert filled.unused == ("fc.weight",)
    torch.testing.assert_close(features(target.eval(), frames), features(pretrained, frames))


def test_timm_and_torchvision_name_the_encoder_as_it_is(tmp_path, frames):
    timm, models = pytest.importorskip("timm"), pytest.importorskip("torchvision.models")
    for made in (timm.create_model("resnet18"), models.resnet18()):
        torch.save({"model": made.state_dict()}, tmp_path / "w.pth")
        target = FrameNetwork(build_network("unet-resnet18-layer3"))
        filled = fill_network(target, tmp_path / "w.pth", frames)
        assert (filled.part, filled.random) == ("encoder", ())
        assert {name.partition(".")[0] for name in filled.unused} == {"layer4", "fc"}
        wanted = made.state_dict()["conv1.weight"].flip(1)
        assert torch.equal(target.core.encoder.conv1.weight, wanted)


def test_alexnet_fills_the_convolutions_that_stand_for_its_full_connections(tmp_path, frames):
    models = pytest.importorskip("torchvision.models")
    torch.save(models.alexnet().state_dict(), tmp_path / "alexnet.pth")
    source = torch.load(tmp_path / "alexnet.pth", weights_only=True)
    target = FrameNetwork(build_network("fcn-alexnet-8s"))
    filled = fill_network(target, tmp_path / "alexnet.pth", frames)
    assert filled.random == ()
    assert filled.unused == ("classifier.6.bias", "classifier.6.weight")
    seen = torch.rand(1, 256, 6, 6)
    with torch.no_grad():
        full = torch.nn.functional.linear(
            seen.flatten(1), source["classifier.1.weight"], source["classifier.1.bias"]
        )
        convolved = target.core.encoder.classifier[1](seen)[:, :, 3, 3]
    torch.testing.assert_close(convolved, full)
    with pytest.raises(InputError, match=r"classifier\.1\.weight has shape \(4096, 9216\)"):
        small = FrameNetwork(build_network("fcn-alexnet-32s", hidden=64))
        fill_network(small, tmp_path / "alexnet.pth", frames)


def test_a_checkpoint_fills_the_whole_network_as_it_was(tmp_path, pretrained, frames):
    path = tmp_path / "smoke.pt"
    papers = {"geometry": GEOMETRY, "model_id": "m", "training": {}}
    save_checkpoint(path, pretrained, name="unet-resnet18", **papers)
    target = FrameNetwork(build_network("unet-resnet18")).eval()
    filled = fill_network(target, path, frames)
    assert (filled.part, filled.random, filled.unused) == ("network", (), ())
    assert not filled.pictures.complete
    with torch.no_grad():
        assert torch.equal(target(frames[:2]), pretrained(frames[:2]))
    # a run's own state is as good
    state = {f"network.{name}": value for name, value in pretrained.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "best.ckpt")
    again = FrameNetwork(build_network("unet-resnet18")).eval()
    fill_network(again, tmp_path / "best.ckpt", frames)
    with torch.no_grad():
        assert torch.equal(again(frames[:2]), pretrained(frames[:2]))
    other = FrameNetwork(build_network("unet-resnet18-layer3"))
    with pytest.raises(InputError, match=r"decoder\.\S+ has shape .* this network wants"):
        fill_network(other, path, frames)


@pytest.mark.parametrize("name", NETWORKS)
def test_no_two_tensors_of_a_network_go_by_the_same_plain_name(name):
    with torch.device("meta"):
        names = [plain_name(key) for key in FrameNetwork(build_network(name)).state_dict()]
    assert len(names) == len(set(names))


def test_values_that_are_no_numbers_are_refused(tmp_path, frames):
    broken = np.full((64, 3, 7, 7), np.nan, np.float32)
    np.savez(tmp_path / "nan.npz", **{"conv1.weight": broken})
    with pytest.raises(InputError, match=r"nan\.npz: conv1\.weight holds values"):
        fill_network(FrameNetwork(build_network("unet-resnet18")), tmp_path / "nan.npz", frames)


def test_a_network_without_an_encoder_says_so(tmp_path, pretrained, frames):
    torch.save(as_rgb(pretrained), tmp_path / "rgb.pt")
    with pytest.raises(InputError, match="which has no encoder to fill"):
        fill_network(
            FrameNetwork(build_network("unet-plain", width=8)), tmp_path / "rgb.pt", frames
        )


def test_the_folded_imagenet_file_means_on_real_pictures_what_it_says(real_data):
    path = real_data / "weights" / "resnet18_imagenet_folded_partial.npz"
    pictures = pictures_in(real_data / "smoke5k_real" / "images")[:160:5]
    frames = torch.from_numpy(
        np.stack([cv2.resize(read_picture(each), (96, 96)) for each in pictures])
    )
    plain = FrameNetwork(build_network("unet-resnet18-layer3"))
    with np.load(path) as arrays:
        state = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    state["conv1.weight"] = state["conv1.weight"].flip(1)
    plain.core.encoder.load_state_dict(
        {name: value for name, value in state.items() if "layer4" not in name}, strict=False
    )
    target = FrameNetwork(build_network("unet-resnet18-layer3"))
    filled = fill_network(target, path, frames[:16])
    assert filled.random == ()
    assert len(filled.unfolded) == 15
    wanted = features(plain.eval(), frames)
    assert wanted.std() > 0.1
    # on pictures that nothing was measured on, too
    torch.testing.assert_close(features(target.eval(), frames), wanted, rtol=1e-3, atol=1e-3)
    # and while it learns, as nearly as a batch is like those that were measured
    learning = features(target.train(), frames[16:])
    error = (learning - wanted[16:]).square().mean().sqrt() / wanted[16:].std()
    assert error < 0.35
    assert features(plain.train(), frames[16:]).sub(wanted[16:]).square().mean().sqrt() > (
        2 * error * wanted[16:].std()
    )
