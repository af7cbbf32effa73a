"""Fine-tune with fake quantisation: what of a training is then different.

The scores of such a run are those of the network as INT8 rounds it. Its checkpoint holds the plain
network and the steps that it learned with, which export and calibration carry on.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from contract.bundle import Bundle
from contract.errors import ConfigError
from train.networks.frame_network import FrameNetwork
from train.networks.registry import build_network
from train.quantize.core import INT8_SCALES, fake_quantized_core, require_same_weights
from train.quantize.plan import plan_of

if TYPE_CHECKING:
    from train.config import TrainConfig

__all__ = ["for_quantization", "plain_network", "quantize"]


def for_quantization(config: TrainConfig) -> TrainConfig:
    """The configuration as fine-tuning takes it: in fp32, where rounding is what INT8 does.

    Raises:
        ConfigError: when it asks for what cannot be.
    """
    if not config.quantize:
        return config
    if not config.network.initial_weights:
        raise ConfigError(
            "quantize fine-tunes a trained network: give network.initial_weights, the checkpoint "
            "that the bundle was exported from"
        )
    if config.learning.precision == "bf16":
        raise ConfigError('quantize needs learning.precision "fp32": bf16 would round once more')
    learning = config.learning.model_copy(update={"precision": "fp32"})
    return config.model_copy(update={"learning": learning})


def quantize(network: FrameNetwork, config: TrainConfig, *, begins: bool) -> None:
    """Let a filled network learn as its bundle's INT8 graph computes.

    Args:
        network: its core is replaced.
        config: of the training; `quantize` names the bundle.
        begins: whether the network has the bundle's weights; False where a stopped run goes on.

    Raises:
        ConfigError: when the bundle has no INT8 graph, or belongs to another network or input.
    """
    bundle = Bundle.open(Path(config.quantize or ""))
    if bundle.manifest.input != config.input:
        own, wanted = (
            f"{each.width} x {each.height} {each.fit.value}"
            for each in (bundle.manifest.input, config.input)
        )
        raise ConfigError(
            f"{bundle.path}: was calibrated for {own}, this training is for {wanted}; put the "
            "bundle's into [input]"
        )
    plan = plan_of(bundle)
    if begins:
        require_same_weights(network, plan)
    network.core = fake_quantized_core(network, config.input, plan)


def plain_network(
    network: FrameNetwork, config: TrainConfig
) -> tuple[FrameNetwork, dict[str, float]]:
    """The network without fake quantisation, and the steps of each activation that it had."""
    if not config.quantize:
        return network, {}
    state = network.state_dict()
    prefix = f"core.{INT8_SCALES}."
    scales = {n.removeprefix(prefix): float(state.pop(n)) for n in [*state] if n.startswith(prefix)}
    plain = FrameNetwork(
        build_network(config.network.name, **config.network.options),
        activation=network.activation,
    )
    plain.load_state_dict(state)
    return plain.eval(), scales
