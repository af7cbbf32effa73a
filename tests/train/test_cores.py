"""Every network of the registry is what its name and its page say."""

from __future__ import annotations

import pytest
import torch

from contract.errors import ConfigError
from contract.label_map import CLASSES
from train.networks.registry import NETWORKS, build_network

PARAMETERS = {
    "unet-resnet18": 14_328_499,
    "unet-resnet18-layer3": 3_574_451,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_core_has_the_parameters_that_its_page_says(name):
    with torch.device("meta"):
        core = build_network(name)
    assert sum(p.numel() for p in core.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_core_answers_for_every_pixel_of_every_geometry_that_is_allowed(name):
    core = build_network(name).eval()
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
