"""A GPU whose context is lost under way: on the driver's double, which fails when it is told to."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from tests.cuda_double.build import built

from .fault import Fault
from .reading import Shown
from .rig import ROOT, Rig, Setting
from .wrong import WrongError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["rows"]

_LAUNCHES = 400  # that go well: some forty seconds of two cameras
_WITHIN_S = 180.0
_BUILD = """
import sys
from pathlib import Path
from contract.bundle import Bundle
from contract.precision import Precision
from export.engine import BuildOptions, build_engine
bundle, out = map(Path, sys.argv[1:])
print(build_engine(Bundle.open(bundle), Precision.FP32, out=out, options=BuildOptions()).path)
"""


def why_no_double() -> str:
    """Why there is no double here, or ""."""
    if built() is None:
        return "needs the driver's double: python tests/cuda_double/build.py"
    return ""


def _environment(rig: Rig) -> dict[str, str]:
    double = built()
    if double is None:
        raise WrongError(why_no_double())
    paths = os.environ.get("PYTHONPATH", "")
    environment = double.environment()
    environment["PYTHONPATH"] = os.pathsep.join(
        each for each in (environment["PYTHONPATH"], str(ROOT), paths) if each
    )
    done = subprocess.run(
        [sys.executable, "-c", _BUILD, str(rig.bundle), str(rig.folder / "engines")],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise WrongError(f"no engine on the double: {done.stderr.strip().splitlines()[-1]}")
    environment["GASEDGE__MODEL__ENGINE"] = done.stdout.strip().splitlines()[-1]
    environment["CUDA_DOUBLE_FAULT"] = f"cuGraphLaunch 700 {_LAUNCHES}"
    return environment


_SETTING = Setting("cuda", environment=_environment)


def rows() -> Iterator[Fault]:
    """A lost context, which only a new process mends."""
    yield Fault(
        "cuda",
        "context lost",
        "the driver's double answers a launch with error 700, and every call after it",
        _SETTING,
        _lost,
        Shown.HONEST,
        other=Shown.HONEST,
        hold_s=4.0,
        recover_s=90.0,
        needs=why_no_double,
    )


@contextlib.contextmanager
def _lost(rig: Rig) -> Iterator[float]:
    """It comes by itself: the double counts."""
    until_s = time.monotonic() + _WITHIN_S
    heard = rig.daemon.log.stat().st_size
    while time.monotonic() < until_s:
        if rig.said("the backend failed", since=heard):
            yield time.monotonic()
            return
        time.sleep(0.02)
    raise WrongError("the double never failed")
