"""Bring a new model to this device: unpack, verify, build, test, try beside the old one, switch.

Everything up to the switch happens in a folder that nobody uses. The slot that does not run is
replaced only after the model has passed all tests, so that until then there is a way back to what
ran before.
"""

from __future__ import annotations

import json
import logging
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contract.atomic import PARTIAL
from contract.bundle import MANIFEST, SIGNATURE
from contract.errors import CheckError, ConfigError, GasedgeError, InputError, NotKeptError
from contract.signing import trusted_bundle
from edge_runtime.backends.engine_rebuild import build_engine_for
from edge_runtime.child_process import end_group, python_command
from edge_runtime.model_trust import trust_of
from edge_runtime.slots.daemon_door import asked, daemon_answers
from edge_runtime.slots.state import SlotFacts
from edge_runtime.slots.store import SlotStore, is_slots_folder, now_utc, placed
from edge_runtime.slots.unpack import unpack

if TYPE_CHECKING:
    from collections.abc import Callable

    from contract.bundle import Bundle
    from edge_runtime.config import DaemonConfig
    from edge_runtime.slots.state import Slots

__all__ = ["Applied", "apply_bundle", "go_back", "store_of", "user_name"]

_log = logging.getLogger(__name__)

_OPENING_S = 600.0  # for a trial to open both models, and for their golden frames


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a model."""

    model_id: str
    manifest_sha256: str
    outcome: str  # "switched", "next start", "dry run" or "runs already"
    slot: str = ""
    report: dict[str, Any] = field(default_factory=dict)  # of the trial


def store_of(config: DaemonConfig) -> SlotStore:
    """The slots that a configuration names.

    Raises:
        ConfigError: when it names a bundle.
    """
    folder = config.model.bundle
    if not is_slots_folder(folder):
        raise ConfigError(
            f"model.bundle: {folder} is a bundle itself; name a folder for slots instead, such as "
            'bundle = "models", and apply the bundle to it'
        )
    if config.model.engine is not None:
        raise ConfigError("model.engine: slots hold their own engines; remove this setting")
    return SlotStore(folder)


def user_name() -> str:
    """Who runs this process."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"


def apply_bundle(
    config: DaemonConfig,
    config_path: Path,
    source: Path,
    *,
    shadow_s: float | None = None,
    dry_run: bool = False,
    tell: Callable[[str, float], None] = lambda _step, _share: None,
) -> Applied:
    """Bring the model of `source` to the slots of `config`, and let it take over.

    Args:
        config: of the daemon, which may run or not.
        config_path: its file.
        source: a signed bundle, a folder or a tar file.
        shadow_s: of the shadow run, 0 for none; None as configured.
        dry_run: end before anything is changed.
        tell: told each step, and how much of it is done, 0..1.

    Raises:
        ConfigError: when it cannot be done with this configuration.
        IntegrityError: when the bundle is not trusted or not whole.
        EngineError: when its engine cannot be built.
        CheckError: when it does not do as well as the model that runs.
        InputError: when it cannot be opened, or the daemon refuses it.
        NotKeptError: when the disk does not take it.
    """
    store = store_of(config)
    with store.applying():
        slots = store.read()
        runs = daemon_answers(store.folder)
        wanted_s = config.update.shadow_s if shadow_s is None else shadow_s
        wanted_s = 0.0 if slots.active is None else wanted_s
        partial = _new_folder(store)
        try:
            tell("unpack and verify", 0.0)
            candidate = _Candidate(store, config, partial, source)
            if slots.running is not None and candidate.is_in(slots.running):
                return replace(candidate.applied, outcome="runs already", slot=slots.active or "")
            if wanted_s and not runs:
                raise ConfigError(
                    f"{store.folder}: no daemon runs on it, so there are no live frames to try the "
                    "model on: start gasedge run, or give --shadow 0"
                )
            if slots.is_on_trial and slots.other is not None:
                raise ConfigError(
                    f"{slots.running} is on trial, and what ran before is needed for the way back: "
                    "wait until it is confirmed (gasedge apply --status), or go back first "
                    "(--rollback)"
                )
            store.seal_here()
            candidate.build(slots, tell)
            report = candidate.tried(config_path, wanted_s, tell)
            done = replace(candidate.applied, report=report)
            if dry_run:
                return replace(done, outcome="dry run")
            now = store.read().running
            if now is not None and not slots.runs(now.manifest_sha256):
                raise InputError(
                    f"{now} runs meanwhile, beside which it was not tried: apply again"
                )
            facts = candidate.facts
            slot = store.take_in(partial, facts, who=user_name())
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        tell("switch", 0.0)
        if not daemon_answers(store.folder):  # it may have come, or gone, meanwhile
            store.change(lambda s: s.switched(slot, who=user_name(), at=now_utc()))
            return replace(done, outcome="next start", slot=slot)
        asked(
            store.folder,
            ask="switch",
            slot=slot,
            manifest_sha256=facts.manifest_sha256,
            who=user_name(),
        )
        return replace(done, outcome="switched", slot=slot)


def go_back(config: DaemonConfig) -> Slots:
    """Let the model of the other slot run again, at once or at the next start.

    Raises:
        ConfigError: when there is none that ran, or, without a daemon, another apply is at work.
        IntegrityError: when it is not trusted any more.
        InputError: when the daemon cannot open it.
    """
    store = store_of(config)
    store.require_own()
    # a daemon sees to the order itself: an apply that hangs is no matter
    if daemon_answers(store.folder):
        asked(store.folder, ask="rollback", who=user_name())
        return store.read()
    with store.applying():
        after = store.read().rolled_back("asked for", at=now_utc(), who=user_name())
        trusted_bundle(store.bundle(after.active or ""), trust_of(config))
        return store.change(lambda s: s.rolled_back("asked for", at=now_utc(), who=user_name()))


class _Candidate:
    """A bundle that was unpacked and verified; nothing of it ran yet.

    Args:
        store: the slots.
        config: of the daemon.
        partial: a folder of its own.
        source: where it comes from.
    """

    def __init__(self, store: SlotStore, config: DaemonConfig, partial: Path, source: Path) -> None:
        self._store, self._config, self._partial = store, config, partial
        self._engine: str | None = None
        place = placed(config.model, partial, None).bundle
        place.mkdir(mode=0o700)
        try:
            unpack(source, place)
            self._bundle = trusted_bundle(place, trust_of(config))
            self._bundle.verify()
            self._bundle.graph(config.model.precision)
        except (NotKeptError, InputError):
            raise
        except GasedgeError as error:
            why = str(error).replace(str(place), str(source))
            store.change(lambda s: s.refused(source.name, why, at=now_utc(), who=user_name()))
            raise type(error)(why) from error
        _drop_unlisted(self._bundle)
        manifest = self._bundle.manifest
        self.applied = Applied(manifest.model_id, self._bundle.manifest_sha256, "")

    @property
    def facts(self) -> SlotFacts:
        """For `slots.json`."""
        return SlotFacts(
            model_id=self.applied.model_id,
            manifest_sha256=self.applied.manifest_sha256,
            rollback_counter=self._bundle.manifest.rollback_counter,
            engine=self._engine,
        )

    def is_in(self, facts: SlotFacts) -> bool:
        """Whether it is the model of a slot."""
        return facts.manifest_sha256 == self.applied.manifest_sha256

    def build(self, slots: Slots, tell: Callable[[str, float], None]) -> None:
        """Build its engine where TensorRT runs it, with the settings of the running one."""
        if self._config.model.backend != "tensorrt":
            return
        tell("build the engine", 0.0)
        facts = slots.running
        like = None
        if slots.active is not None and facts is not None and facts.engine is not None:
            like = self._store.folder / slots.active / facts.engine
        try:
            precision = self._config.model.precision
            built = build_engine_for(self._bundle, precision, self._partial, like=like)
        except GasedgeError as error:
            self._refuse(str(error))
            raise
        self._engine = built.name

    def tried(
        self, config_path: Path, shadow_s: float, tell: Callable[[str, float], None]
    ) -> dict[str, Any]:
        """Its known-answer test, and a shadow run beside the model that runs.

        Raises:
            InputError: when it cannot be tried, or does not prove itself.
            CheckError: when it does worse than is allowed.
        """
        tell("known-answer test", 0.0)
        engine = ["--engine", self._engine] if self._engine else []
        command = python_command(
            "edge_runtime.slots.trial",
            *(str(config_path), str(self._partial), "--shadow", str(shadow_s), *engine),
            *("--log", str(logging.getLogger().getEffectiveLevel())),
        )

        def heard(said: dict[str, Any]) -> None:
            if "seconds" in said:
                tell(f"shadow run, {said['compared']} frames", said["seconds"] / shadow_s)
            elif "step" in said and shadow_s:
                tell("shadow run", 0.0)

        last = _last_word(command, _OPENING_S + shadow_s, heard)
        report = last.get("report")
        if report is None:
            self._refuse(last["failed"])
            raise InputError(f"{self.applied.model_id}: {last['failed']}")
        if report["faults"]:
            why = "; ".join(report["faults"])
            self._refuse(why)
            raise CheckError(f"{self.applied.model_id} does not take over: {why}")
        return dict(report)

    def _refuse(self, why: str) -> None:
        named = str(self.facts)
        self._store.change(lambda s: s.refused(named, why, at=now_utc(), who=user_name()))


def _last_word(
    command: list[str], limit_s: float, heard: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Run a trial until it says what it found, or must be ended.

    Args:
        command: to run.
        limit_s: for all of it.
        heard: told what it says meanwhile.

    Returns:
        Its "report", or why there is none as "failed".
    """
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True
    )
    hung = threading.Event()

    def end_it() -> None:
        if process.poll() is None:
            hung.set()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    limit = threading.Timer(limit_s, end_it)
    limit.start()
    try:
        for line in process.stdout or ():
            said = _said(line)
            if said.keys() & {"report", "failed"}:
                return said  # how the libraries of a model come to their end is no matter
            heard(said)
        code = process.wait()
    finally:
        limit.cancel()
        limit.join()
        end_group(process)
    if hung.is_set():
        return {"failed": f"its trial did not end within {limit_s:g} s: it hangs"}
    return {"failed": f"its trial ended with code {code}: it takes a process down"}


def _said(line: bytes) -> dict[str, Any]:
    """What the trial says in a line; nothing in what a library prints between."""
    with suppress(ValueError):
        said = json.loads(line)
        if isinstance(said, dict):
            return said
    return {}


def _new_folder(store: SlotStore) -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix=PARTIAL, dir=store.folder))
    except OSError as error:
        raise NotKeptError(f"{store.folder}: cannot be written ({error.strerror})") from error


def _drop_unlisted(bundle: Bundle) -> None:
    """Delete what the manifest does not know; nobody reads it, and it takes room."""
    listed = {MANIFEST, SIGNATURE, *bundle.manifest.files}
    for file in sorted(bundle.path.rglob("*")):
        if file.is_file() and str(file.relative_to(bundle.path)) not in listed:
            _log.warning("%s is not in the manifest and is left out", file.name)
            file.unlink()
