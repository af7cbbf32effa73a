"""Build an engine anew in the background when the one at hand is not for this machine or graph.

It is built from the bundle that was found trusted and from no other, by `gasedge build-engine` in a
process of its own, with the settings of the old engine. The old file stays until the new one has
given the golden masks; one that does not never takes its place.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from contract.atomic import move_file
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

__all__ = ["EngineRebuild"]

_log = logging.getLogger(__name__)

_NICE = 10
_PARTIAL = ".partial-"


class EngineRebuild:
    """One build under way; closing it ends the build and leaves the old engine.

    Args:
        bundle: that may run here; the build reads no other.
        precision: to build.
        engine: the engine file that the new one is to replace.
        why: what is wrong with the old one, for messages.

    Raises:
        EngineError: when the old one cannot be built again by itself as it was.
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
        settings = _settings(old)
        self._folder = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=engine.parent))
        self._said = self._folder / "said"
        command = python_command(
            "gasedge.cli",
            *("--quiet", "build-engine", str(bundle.path), f"--{precision}"),
            *("--manifest", bundle.manifest_sha256),
            *("--out", str(self._folder), *settings),
        )
        try:
            with self._said.open("wb") as said:
                self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=said,
                    start_new_session=True,
                )
            os.setpriority(os.PRIO_PROCESS, self._process.pid, _NICE)
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        _log.warning("%s; building it anew in the background", why)

    @property
    def is_running(self) -> bool:
        """Whether the build has not ended yet."""
        return self._process.poll() is None

    def __str__(self) -> str:
        spent_s = time.monotonic() - self._began_s
        return f"{self._why}; it is being built anew since {spent_s:.0f} s"

    def finish(self) -> None:
        """Put the new engine in the old one's place, once the build has ended.

        Raises:
            EngineError: when it could not be built or did not pass its test; the old file stays.
        """
        from edge_runtime.cuda.transfer_choice import take_transfer

        try:
            code = self._process.wait()
            if code:
                lines = self._said.read_text(encoding="utf-8", errors="replace").strip()
                last = lines.splitlines()[-1] if lines else "it said nothing"
                raise EngineError(
                    f"{self._why}; it could not be built anew (code {code}: {last}); run gasedge "
                    "build-engine by hand"
                )
            [built] = self._folder.glob(f"*{ENGINE_SUFFIX}")
            announce_fingerprint(self._engine, read_fingerprint(built))
            move_file(built, self._engine)
            settle_fingerprint(self._engine)
            take_transfer(self._folder, self._engine.parent)
            _log.warning("%s: was built anew and takes the old one's place", self._engine)
        finally:
            self.close()

    def close(self) -> None:
        """End the build if it still runs; a second call does nothing."""
        end_group(self._process)
        shutil.rmtree(self._folder, ignore_errors=True)


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
