"""Runs the scripts of proof as somebody would, and keeps the network that they watch by."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NETWORK = ROOT / "scripts" / "faults_parts" / "network.py"


@pytest.fixture(scope="session")
def network(pytestconfig) -> Path:
    """A folder that keeps the network; exporting it anew takes a minute on a busy machine."""
    makers = hashlib.sha256()
    for source in sorted([*ROOT.glob("export/*.py"), *ROOT.glob("contract/*.py"), NETWORK]):
        makers.update(source.read_bytes())
    return Path(pytestconfig.cache.mkdir("faults-network")) / makers.hexdigest()[:16]


def run_script(name, *words) -> subprocess.CompletedProcess[str]:
    if shutil.which("mosquitto") is None:
        pytest.skip("needs mosquitto (apt-get install mosquitto)")
    command = [sys.executable, str(ROOT / "scripts" / name), *map(str, words)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as script:
        try:
            said = script.communicate(timeout=280)
        except BaseException:
            script.terminate()  # so that it ends what it started
            raise
    return subprocess.CompletedProcess(command, script.returncode, *said)


@pytest.fixture(scope="session")
def run():
    """The function above, for tests that cannot import a conftest."""
    return run_script
