"""Every network of the registry is what its name and its page say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from contract.errors import ConfigError
from contract.geometry import InputGeometry
from contract.label_map import CLASSES
from contract.precision import Precision
from export.agreement import network_probabilities, require_agreement
from export.deploy_graph import onnx_from_network
from export.reference_run import run_reference
from gasedge.cli import main
from train.losses import segmentation_loss
from train.networks.frame_network import FrameNetwork
from train.networks.registry import NETWORKS, build_network

PARAMETERS = {
    "fcn-alexnet-32s": 57_016_131,
    "fcn-alexnet-16s": 57_016_737,
    "fcn-alexnet-8s": 57_016_959,
    "unet-plain": 31_031_875,
    "unet-plain-grey-gas": 31_031_685,  # the count of the study
    "unet-resnet18": 14_328_499,
    "unet-resnet18-slim": 12_461_299,
    "unet-resnet18-thin": 11_755_827,
    "unet-resnet18-layer3": 3_574_451,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_core_has_the_parameters_that_its_page_says(name):
    with torch.device("meta"):
        core = build_network(name)
    assert sum(p.numel() for p in core.parameters() if p.requires_grad) == PARAMETERS[name]


SMALL = {f"fcn-alexnet-{stride}s": {"hidden": 32} for stride in (32, 16, 8)}
SMALL |= {"unet-plain": {"width": 8}, "unet-plain-grey-gas": {"width": 8}}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_core_answers_for_every_pixel_of_every_geometry_that_is_allowed(name):
    core = build_network(name, **SMALL.get(name, {})).eval()
    for height, width in ((32, 32), (32, 96), (64, 32)):
        with torch.inference_mode():
            assert core(torch.randn(1, 3, height, width)).shape == (1, len(CLASSES), height, width)


def test_a_network_that_ends_at_layer3_has_nothing_that_it_does_not_use():
    core = build_network("unet-resnet18-layer3")
    core(torch.randn(2, 3, 32, 32)).sum().backward()
    assert [n for n, p in core.named_parameters() if p.grad is None] == []


def test_options_reach_the_network_and_wrong_ones_are_refused_in_one_line():
    thin = build_network("unet-resnet18-layer3", decoder_channels=[32, 16, 8, 8])
    assert thin.segmentation_head[0].in_channels == 8
    with pytest.raises(ConfigError, match=r"network unet-resnet18-layer3: .*decoder_channels"):
        build_network("unet-resnet18-layer3", decoder_channels=[32, 16])


@pytest.mark.parametrize(
    "name", [n for n in NETWORKS if n not in ("unet-resnet18", "fcn-alexnet-16s")]
)
def test_a_network_learns_and_its_graph_says_what_it_says(name):
    torch.manual_seed(0)
    network = FrameNetwork(build_network(name, **SMALL.get(name, {})))
    random = np.random.default_rng(0)
    frames = torch.from_numpy(random.integers(0, 90, (4, 32, 64, 3), np.uint8))
    truth = torch.zeros(4, 32, 64, dtype=torch.uint8)
    truth[:, :, 32:] = 1
    frames[:, :, 32:] += 150
    steps = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], 3e-3)
    losses = []
    for _ in range(20):
        loss = segmentation_loss(
            network(frames), truth, torch.ones(4).bool(), dice_weight=1, gas_weight=1
        )
        steps.zero_grad()
        loss.backward()
        steps.step()
        losses.append(float(loss.detach()))
    assert min(losses[10:]) < 0.8 * losses[0]

    network.eval()
    wanted = network_probabilities(network, frames.numpy())
    geometry = InputGeometry(width=64, height=32)
    for precision in (Precision.FP32, Precision.FP16):
        graph = onnx_from_network(network, geometry, precision)
        require_agreement(wanted, run_reference(graph, frames.numpy()), precision, "abcd")


class _Positions(torch.nn.Module):
    """Stands for AlexNet: each layer tells where on the picture's row its centres should lie."""

    def __init__(self, told: str) -> None:
        super().__init__()
        self._told = told

    def forward(self, pixels):
        height, width = pixels.shape[2] // 32, pixels.shape[3]
        at = {
            "eighth": torch.arange(-1, width, 8.0),
            "sixteenth": torch.arange(-1, width, 16.0),
            "coarse": torch.arange(-17, width + 16, 32.0),
        }
        rows = {"eighth": height * 4 + 1, "sixteenth": height * 2 + 1, "coarse": height + 2}
        return tuple(
            (at[name] * (name == self._told)).expand(1, 1, rows[name], len(at[name]))
            for name in ("eighth", "sixteenth", "coarse")
        )


@pytest.mark.parametrize(
    ("stride", "told"),
    [
        (32, "coarse"),
        (16, "coarse"),
        (16, "sixteenth"),
        (8, "coarse"),
        (8, "sixteenth"),
        (8, "eighth"),
    ],
)
def test_scores_of_every_layer_land_on_the_pixels_they_are_of(stride, told):
    core = build_network(f"fcn-alexnet-{stride}s", hidden=32).eval()
    core.encoder = _Positions(told)
    for number in range(len(core.scores)):
        core.scores[number] = torch.nn.Conv2d(1, 3, 1, bias=False)
        torch.nn.init.ones_(core.scores[number].weight)
    with torch.no_grad():
        found = core(torch.zeros(1, 3, 64, 96))[0, 0]
    torch.testing.assert_close(found, torch.arange(96.0).expand(64, 96))


def test_one_gas_map_is_not_read_with_an_activation_that_it_does_not_fit():
    core = build_network("unet-plain-grey-gas")
    with pytest.raises(ConfigError, match="ends in softmax or sigmoid, not in 'linear'"):
        FrameNetwork(core, activation="linear")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('name = "unet"', "there is no network 'unet'; networks are fcn-alexnet-16s"),
        ("options = { depth = 3 }", "network unet-resnet18: "),
        ('initial_weights = "none.pt"', "there is no such file of initial weights"),
        ('name = "unet-plain-grey-gas"', "ends in softmax or sigmoid, not in 'linear'"),
    ],
)
def test_a_network_that_cannot_be_is_refused_before_its_run_is_begun(
    tmp_path, capsys, table, message
):
    config = tmp_path / "t.toml"
    config.write_text(
        f'[[simulated]]\nkind = "gas"\nscenes = 8\n[network]\n{table}\n'
        '[learning]\nactivation = "linear"\n'
    )
    assert main(["-q", "train", str(config), "--out", str(tmp_path / "run")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
