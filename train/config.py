"""The configuration of a training: one TOML file.

[[data]]
path = "$DATA/smoke"      # relative to this file; $NAME is taken from the environment
group = "scene_group"

[[simulated]]
kind = "gas"
scenes = 60
frames = 4
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar, overload

from pydantic import Field, model_validator

from contract.config import Section, load_config
from contract.errors import ConfigError
from contract.geometry import InputGeometry

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "AugmentConfig",
    "DataConfig",
    "LearningConfig",
    "NetworkConfig",
    "SimulatedConfig",
    "SplitConfig",
    "TrainConfig",
    "load_train_config",
    "resolved_path",
]

OptionValue = bool | int | float | str | tuple[int, ...]
Share = Annotated[float, Field(ge=0, le=1)]
By = Literal["group", "image"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


class DataConfig(Section):
    """One folder of `images/` and `masks/`, or of pictures with no gas in any."""

    path: str
    name: Name | None = None  # None: the folder's name
    index: str | None = None  # CSV in the folder; None: index.csv or scenes.csv if there is one
    group: str | None = None  # its column of what must stay together in a split
    by: By | None = None  # None: as [split] says
    near_duplicates: bool | None = None  # None: as [split] says; false for runs of one fixed camera
    side: Literal["train", "val", "test"] | None = None  # all of it; None: shares as [split] says
    repeat: int = Field(default=1, ge=1, le=1000)  # times a picture is shown in an epoch
    limit: int | None = Field(default=None, ge=1)  # take this many pictures, spread over the folder
    empty: bool = False  # no picture shows gas or smoke, and there are no masks
    # machines stand in no picture: what is background is no machine either. Without this a folder
    # of {0, 255} masks teaches nothing about machines, and the network may see them anywhere in it
    no_machines: bool = False

    @model_validator(mode="after")
    def _groups_are_used(self) -> Self:
        if self.by == "image" and (self.group or self.index):
            raise ValueError('group and index say what stays together; by = "image" ignores them')
        return self


class SimulatedConfig(Section):
    """Simulated scenes, made in memory."""

    kind: Literal["gas", "smoke"]
    scenes: int = Field(ge=1)
    frames: int = Field(default=4, ge=1)  # pictures of a scene
    seed: int = Field(default=0, ge=0)
    grey: bool | None = None  # None: grey for gas, colour for smoke
    plumes: Share = 0.83  # of the scenes have gas or smoke
    distractors: Share = 0.5  # of them have steam, clouds, people and the like, which are no leak
    name: Name | None = None  # None: simulated-<kind>
    repeat: int = Field(default=1, ge=1, le=1000)


class SplitConfig(Section):
    """Shares of the pictures of each data set; whole groups go to one side."""

    # "image" takes each picture as a group of its own: frames of one scene may then stand on two
    # sides, and scores say less about scenes never seen
    by: By = "group"
    near_duplicates: bool = True  # join groups that show the same view; every picture is compared
    val: Share = 0.15
    test: Share = 0.15
    seed: int = 0
    # folder of <data>/train.txt, val.txt and test.txt, as a run leaves them in splits/: a data set
    # that has a folder there is what these lists name, nothing is drawn
    lists: str | None = None

    @model_validator(mode="after")
    def _something_is_left(self) -> Self:
        if self.val + self.test >= 1 or self.val == 0:
            raise ValueError("val must be above 0 and val + test below 1")
        return self


class NetworkConfig(Section):
    """Which network, and what its encoder starts from."""

    name: str = "unet-resnet18"
    options: dict[str, OptionValue] = Field(
        default_factory=dict
    )  # those of its file in train/networks/cores
    initial_weights: str | None = None  # local file; None starts at random


class LearningConfig(Section):
    """How it learns. `epochs` counts passes over the training pictures, repeats included."""

    epochs: int = Field(default=20, ge=1)
    batch: int = Field(default=8, ge=2)  # of one step, over all processes together
    rate: float = Field(default=1e-4, gt=0, lt=1)  # Adam, at its highest
    encoder_rate: float | None = Field(default=None, gt=0, lt=1)  # None: as `rate`
    schedule: Literal["cosine", "constant"] = "cosine"  # cosine falls to 0, after a short warm-up
    # what the network ends in, with the loss that goes with it (train/losses.py)
    activation: Literal["softmax", "sigmoid", "linear"] = "softmax"
    dice_weight: float = Field(default=1.0, ge=0)  # not of the linear one
    gas_weight: float = Field(default=2.0, gt=0)  # of a gas pixel; a missed leak is the worse fault
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # auto: bf16 where the processor has it
    compile: Literal["auto"] | bool = "auto"  # auto: on a GPU; on a CPU it is slower
    seed: int = 0


class AugmentConfig(Section):
    """Strength of each change to a training picture; 0 (of scale: 1) switches it off.

    The first nine are those of the 2020 study, by its names.
    """

    horizontal_flip: Share = 0.5  # chance
    shift: Share = 0.15  # of the frame
    scale: float = Field(default=1.6, ge=1, le=4)  # most magnification; 1/sqrt of it is the least
    rotate_degrees: float = Field(default=8, ge=0, le=180)
    random_crop: Share = 1.0  # where a magnified view may lie: 0 the middle, 1 all of the picture
    gaussian_noise: float = Field(default=6, ge=0, le=64)  # largest std deviation, 0..255 levels
    intensity: Share = 0.3  # of brightness, contrast and gamma
    sharpen: Share = 0.15  # chance
    blur: Share = 0.15  # chance
    grey: Share = 0.25  # chance: colour becomes grey, as an infrared camera sees
    invert: Share = 0.1  # chance, of grey pictures: white-hot becomes black-hot


class TrainConfig(Section):
    """The whole file."""

    # a bundle calibrated to INT8: fine-tune network.initial_weights, of which it was exported, with
    # the rounding of its INT8 graph
    quantize: str | None = None

    data: tuple[DataConfig, ...] = ()
    simulated: tuple[SimulatedConfig, ...] = ()
    input: InputGeometry = InputGeometry(width=256, height=256)
    split: SplitConfig = SplitConfig()
    network: NetworkConfig = NetworkConfig()
    learning: LearningConfig = LearningConfig()
    augment: AugmentConfig = AugmentConfig()

    @model_validator(mode="after")
    def _has_distinct_data(self) -> Self:
        names = [each.name or Path(each.path).name for each in self.data]
        names += [each.name or f"simulated-{each.kind}" for each in self.simulated]
        if not names:
            raise ValueError("give at least one [[data]] or [[simulated]] table")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two data sets are named {twice[0]}; give one a name")
        return self


Config = TypeVar("Config", bound=TrainConfig)


@overload
def load_train_config(path: Path) -> TrainConfig: ...
@overload
def load_train_config(path: Path, model: type[Config]) -> Config: ...
def load_train_config(path: Path, model: type[TrainConfig] = TrainConfig) -> TrainConfig:
    """Read a training's file; paths in it become absolute.

    Args:
        path: the TOML file.
        model: a training, or what adds tables of its own to one.

    Raises:
        ConfigError: one line for each fault.
    """
    config = load_config(path, model)
    base = path.absolute().parent
    data = tuple(
        each.model_copy(update={"path": str(resolved_path(each.path, base, path))})
        for each in config.data
    )
    network = config.network
    if network.initial_weights:
        weights = str(resolved_path(network.initial_weights, base, path))
        network = network.model_copy(update={"initial_weights": weights})
    if config.quantize:
        bundle = str(resolved_path(config.quantize, base, path))
        config = config.model_copy(update={"quantize": bundle})
    split = config.split
    if split.lists:
        split = split.model_copy(update={"lists": str(resolved_path(split.lists, base, path))})
    return config.model_copy(update={"data": data, "network": network, "split": split})


def resolved_path(text: str, base: Path, file: Path) -> Path:
    """A path written in `file` made absolute: ~ and $NAME expanded, relative to `base`.

    Raises:
        ConfigError: it names an environment variable that is not set.
    """
    expanded = os.path.expandvars(os.path.expanduser(text))  # noqa: PTH111 - text, not a path yet
    if missing := re.search(r"\$\{?(\w+)", expanded):
        raise ConfigError(
            f"{file}: {text} needs the environment variable {missing.group(1)}; set it, for "
            f"example: {missing.group(1)}=/where/it/is gasedge train {file.name}"
        )
    return Path(os.path.normpath(base / expanded))
