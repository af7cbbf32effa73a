"""Search for the settings that learn best: many trainings, each a run folder, by Optuna.

What was tried lies in one SQLite file in the sweep's folder, so a sweep goes on after any stop, and
several processes work on it when the same command is given in each.

    study.db                 what was tried and what it scored
    sweep.json               what is searched; a sweep goes on only under the same
    trial-00000/             the run folder of each trial
    trials.csv               table of all trials, best first
    best.toml                the training's file with the best settings, for `gasedge train`
"""

from __future__ import annotations

import csv
import io
import json
import logging
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from contract.atomic import write_text
from contract.errors import ConfigError, GasedgeError
from contract.packages import need
from train.learning import train
from train.lightning_parts import AfterEpoch
from train.module import NoNumberError
from train.run_folder import result_file
from train.sweep_config import SweepConfig, as_toml, with_settings

if TYPE_CHECKING:
    from pathlib import Path

    import optuna

__all__ = ["SweepResult", "sweep"]

_RUN = "run"  # the name of a trial's folder, among the engine's notes on the trial
_BEAT_S = 10  # a process that runs a trial is heard of this often;
_GRACE_S = 60  # after such a silence its trial is taken up by another
_FIRST_EPOCH_TO_PRUNE_AT = 3
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SweepResult:
    """The best trial so far."""

    score: float  # validation mean IoU of its best epoch
    settings: dict[str, Any]
    config: Path  # `best.toml`
    finished: int  # trials that went to their end
    pruned: int  # trials that were given up early


def sweep(config: SweepConfig, trials: int, out: Path) -> SweepResult:
    """Try settings until `trials` of them, over all processes and calls, are done.

    Args:
        config: a training and what to search in it.
        trials: how many, those of former calls included.
        out: the sweep's folder, new or of the same sweep.

    Raises:
        GasedgeError: when the folder is of something else, or no trial came to its end.
        KeyboardInterrupt: on Ctrl-C; the same command goes on.
    """
    tool = need("optuna", extra="sweep")
    tool.logging.set_verbosity(tool.logging.ERROR)  # it shows a trace for Ctrl-C
    _agree_with_earlier(config, out)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tool.exceptions.ExperimentalWarning)
        retry = tool.storages.RetryHeartbeatStaleTrialCallback(inherit_intermediate_values=True)
        storage = tool.storages.RDBStorage(
            f"sqlite:///{(out / 'study.db').resolve()}",
            engine_kwargs={"connect_args": {"timeout": 60}},
            heartbeat_interval=_BEAT_S,
            grace_period=_GRACE_S,
            heartbeat_stale_trial_callback=retry,
        )
    try:
        study = tool.create_study(
            storage=storage,
            study_name="sweep",
            direction="maximize",
            load_if_exists=True,
            sampler=tool.samplers.TPESampler(constant_liar=True),
            pruner=tool.pruners.MedianPruner(n_warmup_steps=_FIRST_EPOCH_TO_PRUNE_AT),
        )
        ended = (tool.trial.TrialState.COMPLETE, tool.trial.TrialState.PRUNED)
        enough = tool.study.MaxTrialsCallback(trials, states=ended)

        def recorded(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
            del trial
            _write_results(config, study, out)

        def tried(trial: optuna.Trial) -> float:
            try:
                return _tried(tool, trial, config, out)
            except KeyboardInterrupt:
                retry(study, study.get_trials(deepcopy=False)[trial.number])
                raise

        if len(study.get_trials(deepcopy=False, states=ended)) < trials:
            study.optimize(tried, callbacks=[recorded, enough])
        if (result := _write_results(config, study, out)) is None:
            raise GasedgeError(f"{out}: no trial came to its end; look at {out / 'trials.csv'}")
        return result
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _tried(tool: Any, trial: optuna.Trial, config: SweepConfig, out: Path) -> float:
    """Train with what the trial suggests; its best validation score."""
    settings = {key: search.suggested(trial, key) for key, search in config.sweep.items()}
    if _RUN not in trial.user_attrs:  # else it takes up a stopped trial
        trial.set_user_attr(_RUN, f"trial-{trial.number:05d}")
    run = out / trial.user_attrs[_RUN]
    said = ", ".join(f"{key} {value}" for key, value in settings.items())
    _log.info("%s: %s", run.name, said)

    known = trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values
    reported = set(known)  # by the process whose trial this one takes up

    def after(scores: list[float]) -> None:
        for epoch, score in enumerate(scores, start=1):
            if epoch not in reported:
                trial.report(score, epoch)
                reported.add(epoch)
        if trial.should_prune():
            _log.info("%s: given up after epoch %d", run.name, len(scores))
            raise tool.TrialPruned

    # done already where the process was stopped before it was recorded
    if not result_file(run).exists():
        try:
            train(with_settings(config, settings), run, [AfterEpoch(after)])
        except NoNumberError as error:
            _log.info("%s: given up, %s", run.name, error)
            raise tool.TrialPruned from error
    with (run / "metrics.csv").open(encoding="utf-8") as file:
        return max(float(row["val/mean_iou"]) for row in csv.DictReader(file))


def _write_results(config: SweepConfig, study: optuna.Study, out: Path) -> SweepResult | None:
    """Write the table of trials and the best one's file; None when none has come to its end."""
    tool = need("optuna", extra="sweep")
    states = tool.trial.TrialState
    known = [
        each
        for each in study.get_trials(deepcopy=False)
        if each.state in (states.COMPLETE, states.PRUNED)
    ]
    scored = [(max(each.intermediate_values.values(), default=0.0), each) for each in known]
    scored.sort(key=lambda pair: (pair[1].state == states.COMPLETE, pair[0]), reverse=True)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["run", "val/mean_iou", "epochs", "state", *config.sweep])
    for score, each in scored:
        epochs = len(each.intermediate_values)
        tried = [each.params[key] for key in config.sweep]
        writer.writerow(
            [each.user_attrs[_RUN], f"{score:.4f}", epochs, each.state.name.lower(), *tried]
        )
    write_text(out / "trials.csv", table.getvalue())
    finished = [(score, each) for score, each in scored if each.state == states.COMPLETE]
    if not finished:
        return None
    score, best = finished[0]
    file = out / "best.toml"
    text = as_toml(with_settings(config, best.params))
    head = f"# {best.user_attrs[_RUN]} of {out.name}: validation mean IoU {score:.4f}\n"
    write_text(file, head + text)
    return SweepResult(score, best.params, file, len(finished), len(scored) - len(finished))


def _agree_with_earlier(config: SweepConfig, out: Path) -> None:
    """A sweep's folder belongs to one file."""
    file = out / "sweep.json"
    now = json.dumps(config.model_dump(mode="json"), indent=1) + "\n"
    if not file.exists():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise GasedgeError(f"{out}: is there and is no sweep's folder; give another --out")
        write_text(file, now)
    elif file.read_text(encoding="utf-8") != now:
        raise ConfigError(
            f"{out}: was begun with another file; put it back to go on, or give another --out"
        )
