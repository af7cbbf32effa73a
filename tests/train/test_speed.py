"""What makes a step fast changes neither the names of the weights nor what is learned."""

from __future__ import annotations

import pytest
import torch

from train.config import LearningConfig
from train.lightning_parts import compiles, loading, precision_of
from train.module import SegmentationModule
from train.networks.frame_network import FrameNetwork


class Core(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = torch.nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, frames):
        return self.encoder(frames)


def module_of(tmp_path) -> SegmentationModule:
    torch.manual_seed(0)
    learning = LearningConfig(epochs=1, batch=2)
    return SegmentationModule(FrameNetwork(Core()), learning, 1, [], tmp_path / "metrics.csv")


def test_a_compiled_network_learns_the_same_and_its_weights_keep_their_names(tmp_path):
    plain, compiled = module_of(tmp_path), module_of(tmp_path)
    compiled.network.compile(backend="aot_eager")  # all but the making of machine code
    batch = (
        torch.randint(0, 256, (2, 16, 16, 3), dtype=torch.uint8),
        torch.randint(0, 3, (2, 16, 16), dtype=torch.uint8),
        torch.full((2, 16, 16), 255, dtype=torch.uint8),
        torch.tensor([True, False]),
    )
    torch._dynamo.utils.counters.clear()
    gradients = []
    for module in (plain, compiled):
        module.log = lambda *_: None
        module.training_step(batch, 0).backward()
        gradients.append(module.network.core.encoder.weight.grad)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 1
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)
    assert list(compiled.state_dict()) == list(plain.state_dict())
    plain.load_state_dict(compiled.state_dict())


@pytest.mark.skipif(torch.cuda.is_available(), reason="tells what a CPU does")
def test_a_cpu_compiles_only_when_told_and_loads_in_the_process_that_trains():
    assert not compiles("auto", 1)
    assert compiles(True, 1)  # noqa: FBT003 - the setting as it is given
    assert loading(1) == {}


@pytest.mark.parametrize(("wanted", "name"), [("fp32", "32-true"), ("bf16", "bf16-mixed")])
def test_a_precision_asked_for_is_the_one_that_is_used(wanted, name):
    assert precision_of(wanted) == name
