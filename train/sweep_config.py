"""The file of a sweep: a training's, and a table of what is searched in it.

[sweep]
"learning.rate" = { low = 1e-5, high = 1e-3, log = true }
"learning.dice_weight" = { low = 0.0, high = 2.0 }
"learning.batch" = { choices = [4, 8, 16] }
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from pydantic import Field, ValidationError, model_validator

from contract.config import Section
from contract.packages import need
from train.config import TrainConfig, load_train_config

if TYPE_CHECKING:
    from pathlib import Path

    import optuna
    from typing_extensions import Self

__all__ = ["Search", "SweepConfig", "as_toml", "load_sweep_config", "with_settings"]

Value = bool | int | float | str


class Search(Section):
    """Where a setting is searched: between `low` and `high`, or among `choices`."""

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False  # by orders of magnitude
    step: int | float | None = Field(default=None, gt=0)
    choices: tuple[Value, ...] = ()

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if self.choices:
            if (self.low, self.high, self.step, self.log) != (None, None, None, False):
                raise ValueError("give choices, or low and high, not both")
            return self
        if self.low is None or self.high is None or self.low >= self.high:
            raise ValueError("give low and a higher high, or choices")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log needs a low above 0, and no step")
        return self

    @property
    def examples(self) -> tuple[Value, ...]:
        """Values that must be allowed for all others to be."""
        if self.low is None or self.high is None:
            return self.choices
        return self.low, self.high

    def suggested(self, trial: optuna.Trial, key: str) -> Value:
        """What a trial tries."""
        if self.low is None or self.high is None:
            return cast("Value", trial.suggest_categorical(key, self.choices))
        if isinstance(self.low, int) and isinstance(self.high, int):
            step = int(self.step or 1)
            return trial.suggest_int(key, self.low, self.high, step=step, log=self.log)
        return trial.suggest_float(key, self.low, self.high, step=self.step, log=self.log)


class SweepConfig(TrainConfig):
    """A training and what is searched in it, by `table.key`."""

    sweep: dict[str, Search] = Field(min_length=1)

    @model_validator(mode="after")
    def _settings_are_a_trainings(self) -> Self:
        for key, search in self.sweep.items():
            table, _, name = key.partition(".")
            if "." in name or name not in getattr(
                type(getattr(self, table, None)), "model_fields", ()
            ):
                raise ValueError(f'"{key}" is no setting of a training, such as "learning.rate"')
            for value in search.examples:
                try:
                    with_settings(self, {key: value})
                except ValidationError as error:
                    raise ValueError(f'"{key}" = {value}: {error.errors()[0]["msg"]}') from error
        return self


def load_sweep_config(path: Path) -> SweepConfig:
    """Read a sweep's file; paths in it become absolute.

    Raises:
        ConfigError: one line for each fault.
    """
    return load_train_config(path, SweepConfig)


def with_settings(config: SweepConfig, settings: dict[str, Any]) -> TrainConfig:
    """Give the training with `settings`, by `table.key`, in place of its own.

    Raises:
        ValidationError: when one of them is not allowed.
    """
    values = config.model_dump(mode="json", exclude={"sweep"})
    for key, value in settings.items():
        table, _, name = key.partition(".")
        values[table][name] = value
    return TrainConfig.model_validate(values)


def as_toml(config: TrainConfig) -> str:
    """Write a training's file; settings that are as by default are left out."""
    text: str = need("tomli_w", extra="sweep").dumps(
        config.model_dump(mode="json", exclude_defaults=True)
    )
    return text
