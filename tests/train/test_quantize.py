"""Fine-tuning rounds as the INT8 graph rounds, and what it has learned with is carried on."""

from __future__ import annotations

import lightning.pytorch as pl
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

from calibration.learned_ranges import take_learned
from calibration.placement import place
from calibration.quantize import quantized_graph
from calibration.ranges import collect_ranges
from contract.bundle import Bundle, graph_name
from contract.errors import ConfigError, InputError
from contract.precision import Precision
from contract.trained_scales import trained_scales_of
from export.bundle import bundle_from_checkpoint, bundle_from_network
from export.reference_run import run_reference
from gasedge.cli import main
from tests.bundles import TINY, centre_head, tiny_pictures
from tests.train.conftest import TINY as TINY_TOML
from train.config import load_train_config
from train.learning import train
from train.networks.checkpoint import network_from_checkpoint, save_checkpoint
from train.networks.frame_network import FrameNetwork
from train.networks.registry import build_network
from train.quantize.core import fake_quantized_core, require_same_weights
from train.quantize.plan import plan_of
from train.quantize.rounding import fake_quantized

NAME, OPTIONS = "unet-resnet18-layer3", {"decoder_channels": (8, 8, 8, 8)}
NETWORK = f"""
quantize = "net.gasedge"
[network]
name = "{NAME}"
initial_weights = "net.pt"
[network.options]
decoder_channels = [8, 8, 8, 8]
"""


def int8_graph(bundle: Bundle, *, scales=None, half=True) -> bytes:
    """The bundle's network quantised by ranges of a few pictures, or by learned steps."""
    fp32 = bundle.graph(Precision.FP32)
    tensors = sorted(place(onnx.load_model_from_string(fp32).graph).pairs)
    watched = collect_ranges(fp32, tensors, tiny_pictures(8, seed=3), n_frames=8)
    method = take_learned(watched, scales or {}, "percentile")
    largest = {name: each.covering(method) for name, each in watched.items()}
    return quantized_graph(fp32, largest, half=half)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkpoint, its bundle with an INT8 graph, and a training file for both."""
    folder = tmp_path_factory.mktemp("quantize")
    torch.manual_seed(4)
    network = FrameNetwork(build_network(NAME, **OPTIONS))
    centre_head(network)
    about = {"name": NAME, "options": OPTIONS, "geometry": TINY, "model_id": "net", "training": {}}
    save_checkpoint(folder / "net.pt", network, **about)
    golden = list(tiny_pictures())
    path = folder / "net.gasedge"
    bundle = bundle_from_network(
        network, TINY, path, model_id="net", training={}, golden_frames=golden
    )
    bundle.updated({graph_name(Precision.INT8): int8_graph(bundle)})
    head, rest = TINY_TOML.format(epochs=1).replace("2e-3", "1e-4").split("[input]")
    quantize, network_table = NETWORK.split("[network]", 1)
    (folder / "q.toml").write_text(f"{quantize}{head}[network]{network_table}[input]{rest}")
    return folder


@pytest.fixture(scope="module")
def bundle(folder) -> Bundle:
    return Bundle.open(folder / "net.gasedge")


@pytest.fixture(scope="module")
def finished(folder):
    """A fine-tuning of one epoch, by the command line."""
    run = folder / "run"
    config = folder / "plain.toml"
    text = (folder / "q.toml").read_text().replace('quantize = "net.gasedge"\n', "")
    config.write_text(text)
    arguments = ["-q", "train", str(config), "--quantize", str(folder / "net.gasedge")]
    assert main([*arguments, "--out", str(run)]) == 0
    return run


def masks_of(network, frames):
    with torch.no_grad():
        return network(torch.from_numpy(frames)).argmax(1).numpy()


def fake_quantised(checkpoint, bundle):
    loaded = network_from_checkpoint(checkpoint)
    plan = plan_of(bundle)
    loaded.network.core = fake_quantized_core(loaded.network, TINY, plan)
    return loaded.network


def test_training_computes_what_the_int8_graph_computes(folder, bundle):
    frames = tiny_pictures(12, seed=40)
    graph = run_reference(int8_graph(bundle, half=False), frames).mask
    plain = masks_of(network_from_checkpoint(folder / "net.pt").network, frames)
    fake = masks_of(fake_quantised(folder / "net.pt", bundle), frames)
    rounding = np.mean(plain != graph)
    assert len(np.unique(graph)) == 3
    assert rounding > 0.005
    # where sums end in a tie their order decides, and a network with random weights amplifies that
    assert np.mean(fake != graph) < 0.5 * rounding


def test_the_integers_are_those_of_the_graph_but_for_ties(folder, bundle):
    frames = tiny_pictures(4, seed=42)
    graph = onnx.load_model_from_string(int8_graph(bundle, half=False))
    names = ["relu", "max_pool2d", "relu_1"]  # deeper down each tie has made others
    for name in names:
        graph.graph.output.append(onnx.ValueInfoProto(name=f"{name}_q"))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options)
    wanted = session.run([f"{name}_q" for name in names], {"frames": frames})
    network, scales = fake_quantised(folder / "net.pt", bundle), plan_of(bundle).scales
    seen = {}

    class Watching(torch.fx.Interpreter):
        def run_node(self, n):
            result = super().run_node(n)
            if n.target is fake_quantized:
                seen[n.args[0].name] = result
            return result

    pixels = (torch.from_numpy(frames).float() - network.mean) / network.std
    with torch.no_grad():
        Watching(network.core).run(pixels.permute(0, 3, 1, 2))
    for name, integers in zip(names, wanted, strict=True):
        found = (seen[name] / scales[name]).round().numpy()
        assert np.mean(found != integers) < 1e-3, name
        assert np.abs(found - integers).max() <= 1, name


def test_the_plan_is_the_one_of_the_graph(bundle):
    plan = plan_of(bundle)
    graph = onnx.load_model_from_string(bundle.graph(Precision.INT8)).graph
    pairs = [node for node in graph.node if node.op_type == "QuantizeLinear"]
    weights = {tensor.name for tensor in graph.initializer}
    int8 = [n for n in graph.node if n.op_type == "Conv" and n.input[1] not in weights]
    assert len(plan.scales) == len(pairs)
    assert set(plan.convolutions) == {node.output[0] for node in int8}
    assert "encoder.layer1.0.conv1.weight" in plan.convolutions.values()


def test_the_gradient_passes_the_rounding_and_batch_norm_stands_still(folder, bundle):
    network = fake_quantised(folder / "net.pt", bundle).train()
    before = {k: v.clone() for k, v in network.state_dict().items() if "running" in k}
    network(torch.from_numpy(tiny_pictures(2))).square().mean().backward()
    missing = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert missing == []
    assert before
    assert all(torch.equal(network.state_dict()[k], v) for k, v in before.items())


def test_a_fine_tuned_network_exports_and_calibrates_to_the_graph_it_learned_as(
    finished, bundle, tmp_path
):
    loaded = network_from_checkpoint(finished / "checkpoint.pt")
    assert loaded.int8_scales == pytest.approx(dict(plan_of(bundle).scales))
    assert loaded.training["fake_quantised"] is True
    tuned = bundle_from_checkpoint(
        finished / "checkpoint.pt", tmp_path / "tuned.gasedge", golden_frames=list(tiny_pictures())
    )
    int8 = int8_graph(tuned, scales=trained_scales_of(tuned), half=False)
    graph = onnx.load_model_from_string(int8).graph
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    quantised = [node for node in graph.node if node.op_type == "QuantizeLinear"]
    pairs = [node for node in quantised if node.input[0] not in values]  # the rest is weights
    assert {n.input[0]: float(values[n.input[1]]) for n in pairs} == loaded.int8_scales
    frames = tiny_pictures(12, seed=41)
    plain = masks_of(loaded.network, frames)
    with_int8 = tuned.updated({graph_name(Precision.INT8): int8})
    fake = masks_of(fake_quantised(finished / "checkpoint.pt", with_int8), frames)
    told = run_reference(int8, frames).mask
    assert np.mean(fake != told) < 0.5 * np.mean(plain != told)


def test_a_stopped_fine_tuning_goes_on(folder, finished):
    class Stop(pl.Callback):
        def on_train_epoch_start(self, trainer, _module):
            if trainer.current_epoch == 1:
                raise KeyboardInterrupt

    config = load_train_config(folder / "q.toml")
    learning = config.learning.model_copy(update={"epochs": 2})
    config = config.model_copy(update={"learning": learning})
    with pytest.raises(KeyboardInterrupt):
        train(config, folder / "stopped", [Stop()])
    assert train(config, folder / "stopped").went_on
    scales = network_from_checkpoint(folder / "stopped" / "checkpoint.pt").int8_scales
    assert scales == network_from_checkpoint(finished / "checkpoint.pt").int8_scales


def test_steps_of_what_is_not_quantised_now_are_refused(bundle):
    with pytest.raises(
        InputError, match=r"was fine-tuned with permute in int8.* --concat-scale of"
    ):
        int8_graph(bundle, scales={"permute": 0.01})


def test_a_bundle_of_other_weights_is_refused(folder, bundle):
    loaded = network_from_checkpoint(folder / "net.pt")
    plan = plan_of(bundle)
    require_same_weights(loaded.network, plan)
    with torch.no_grad():
        loaded.network.core.get_parameter("encoder.layer2.0.conv1.weight").mul_(1.5).add_(0.02)
    with pytest.raises(ConfigError, match=r"not exported from the weights.*layer2.0.conv1"):
        require_same_weights(loaded.network, plan)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('initial_weights = "net.pt"\n', "", "give network.initial_weights"),
        ('"fp32"', '"bf16"', "bf16 would round once more"),
        ("width = 64", "width = 96", "was calibrated for 64 x 64 letterbox, this training"),
        ('"net.gasedge"', '"plain.gasedge"', "holds no int8 graph"),
        ('"net.gasedge"', '"nothing.gasedge"', "is not a bundle"),
        ("decoder_channels = [8, 8, 8, 8]", "decoder_channels = [8, 8, 8, 4]", "has shape"),
    ],
)
def test_what_cannot_be_fine_tuned_is_said_in_one_line(folder, capsys, tmp_path, old, new, said):
    text = (folder / "q.toml").read_text()
    assert old in text
    if "plain.gasedge" in new and not (folder / "plain.gasedge").exists():
        Bundle.open(folder / "net.gasedge").copied(
            folder / "plain.gasedge", without=[graph_name(Precision.INT8)]
        )
    config = folder / "wrong.toml"
    config.write_text(text.replace(old, new))
    assert main(["-q", "train", str(config), "--out", str(tmp_path / "run")]) in (1, 2)
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert said in error
