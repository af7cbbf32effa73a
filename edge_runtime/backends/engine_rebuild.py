"""Build an engine anew in the background when the one at hand is not for this machine or graph.

It is built from the bundle that was found trusted and from no other, by `gasedge build-engine` in a
process of its own, with the settings of the old engine. The old file stays until the new one has
given the golden masks; one that does not never takes its place.
"""

from __future__ import annotations

import contextlib
import glob
import logging
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from contract.atomic import PARTIAL, move_file
from contract.errors import EngineError
from contract.fingerprint import (
    ENGINE_SUFFIX,
    announce_fingerprint,
    read_fingerprint,
    settle_fingerprint,
)
from edge_runtime.child_process import end_group, python_command

if TYPE_CHECKING:
    from contract.bundle import Bundle
    from contract.fingerprint import Fingerprint
    from contract.precision import Precision

__all__ = ["EngineRebuild", "build_engine_for"]

_log = logging.getLogger(__name__)

_NICE = 10
_LONGEST_S = 4 * 3600.0  # no build is meant to take so long
_PARTIAL = f"{PARTIAL}rebuild-"


class EngineRebuild:
    """One build under way; closing it ends the build and leaves the old engine.

    Args:
        bundle: that may run here; the build reads no other.
        precision: to build.
        engine: the engine file that the new one is to replace.
        why: what is wrong with the old one, for messages.

    Raises:
        EngineError: when the old one cannot be built again by itself as it was, or the build cannot
            be begun.
    """

    def __init__(self, bundle: Bundle, precision: Precision, engine: Path, why: str) -> None:
        self._engine, self._why = engine, why
        self._began_s = time.monotonic()
        old = read_fingerprint(engine)
        if old.builder.get("ranges") == "own":
            raise EngineError(
                f"{why}; its INT8 ranges are TensorRT's own, of pictures that only who built it "
                "knows, so it is not built anew by itself: run gasedge build-engine "
                f"{bundle.path} --{precision} --own-ranges FOLDER, or without --own-ranges for the "
                "bundle's ranges"
            )
        self._folder = _new_folder(engine, why)
        self._said = self._folder / "said"
        try:
            self._process = _begun(bundle, precision, self._folder, _settings(old), self._said)
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        _log.warning("%s; building it anew in the background", why)

    @property
    def is_running(self) -> bool:
        """Whether the build has not ended yet; one that hangs is ended."""
        if self._process.poll() is None and time.monotonic() - self._began_s > _LONGEST_S:
            _log.error("%s: its build hangs and is ended", self._engine)
            end_group(self._process)
        return self._process.poll() is None

    def __str__(self) -> str:
        spent_s = time.monotonic() - self._began_s
        return f"{self._why}; it is being built anew since {spent_s:.0f} s"

    def finish(self) -> None:
        """Put the new engine in the old one's place, once the build has ended.

        Raises:
            EngineError: when it could not be built or did not pass its test; the old file stays.
        """
        from edge_runtime.cuda.built_kernels import take_kernels
        from edge_runtime.cuda.transfer_choice import take_transfer

        try:
            code = self._process.wait()
            if code:
                raise EngineError(
                    f"{self._why}; it could not be built anew (code {code}: "
                    f"{_last_line(self._said)}); run gasedge build-engine by hand"
                )
            built = _built_in(self._folder)
            fingerprint = read_fingerprint(built)
            take_kernels(self._folder, fingerprint, self._engine.parent)
            announce_fingerprint(self._engine, fingerprint)
            move_file(built, self._engine)
            settle_fingerprint(self._engine)
            take_transfer(self._folder, self._engine.parent)
            _log.warning("%s: was built anew and takes the old one's place", self._engine)
        except OSError as error:
            raise EngineError(f"{self._engine}: cannot be put in its place ({error})") from error
        finally:
            self.close()

    def close(self) -> None:
        """End the build if it still runs; a second call does nothing."""
        end_group(self._process)
        shutil.rmtree(self._folder, ignore_errors=True)


def build_engine_for(
    bundle: Bundle, precision: Precision, folder: Path, *, like: Path | None
) -> Path:
    """Build the engine of a bundle into `folder`, in a process of its own, and wait for it.

    Args:
        bundle: that may run here; the build reads no other.
        precision: to build.
        folder: gets the engine and its fingerprint.
        like: an engine whose settings are taken, None for the defaults.

    Returns:
        The engine file.

    Raises:
        EngineError: when it could not be built or did not pass its known-answer test.
    """
    settings = _settings(read_fingerprint(like)) if like is not None else []
    said = folder / "said"
    process = _begun(bundle, precision, folder, settings, said)
    try:
        code = process.wait()
        if code:
            raise EngineError(f"its engine could not be built (code {code}: {_last_line(said)})")
        return _built_in(folder)
    finally:
        end_group(process)
        with contextlib.suppress(OSError):
            said.unlink(missing_ok=True)


def _new_folder(engine: Path, why: str) -> Path:
    """A folder for a build beside the engine; what one that was cut off has left there goes."""
    prefix = f"{_PARTIAL}{engine.name}-"
    try:
        for left in engine.parent.glob(f"{glob.escape(prefix)}*"):
            shutil.rmtree(left, ignore_errors=True)
        return Path(tempfile.mkdtemp(prefix=prefix, dir=engine.parent))
    except OSError as error:
        raise EngineError(
            f"{why}; it cannot be built anew in {engine.parent} ({error.strerror}): let the "
            "daemon's user write there, and see that there is room"
        ) from error


def _built_in(folder: Path) -> Path:
    """The one engine that a build has put into its folder."""
    found = list(folder.glob(f"*{ENGINE_SUFFIX}"))
    if len(found) != 1:
        raise EngineError(f"{folder}: the build ended well, but left {len(found)} engines")
    return found[0]


def _begun(
    bundle: Bundle, precision: Precision, out: Path, settings: list[str], said: Path
) -> subprocess.Popen[bytes]:
    """Begin a build; what it has to say goes into the file `said`.

    Raises:
        EngineError: when it cannot be begun: the disk is full, or there is no room for a process.
    """
    command = python_command(
        "gasedge.cli",
        *("--quiet", "build-engine", str(bundle.path), f"--{precision}"),
        *("--manifest", bundle.manifest_sha256),
        *("--out", str(out), *settings),
    )
    try:
        with said.open("wb") as errors:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
    except OSError as error:
        raise EngineError(f"the build of an engine cannot be begun ({error})") from error
    with contextlib.suppress(OSError):  # it is built all the same
        os.setpriority(os.PRIO_PROCESS, process.pid, _NICE)
    return process


def _last_line(said: Path) -> str:
    try:
        text = said.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return f"what it said cannot be read: {error}"
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def _settings(old: Fingerprint) -> list[str]:
    """The old engine's settings as options of `gasedge build-engine`."""
    builder = old.builder
    given = ["--rtx"] if old.tensorrt.startswith("tensorrt_rtx") else []
    for name, option in (("dla", "--dla"), ("stripped", "--strip")):
        given += [option] if builder.get(name) else []
    for name, option in (
        ("sizes", "--sizes"),
        ("asked_workspace_mib", "--workspace-mib"),
        ("asked_level", "--optimization-level"),
        ("asked_max_reformats", "--max-reformats"),
    ):
        given += [option, str(builder[name])] if builder.get(name, "") != "" else []
    given += [] if builder.get("verified", True) else ["--unverified"]
    return [*given, "--max-batch", str(builder.get("max_batch", 1))]
