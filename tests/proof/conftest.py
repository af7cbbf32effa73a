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
EXPORT = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from faults_parts.network import threshold_bundle
threshold_bundle(Path(sys.argv[1]))
"""


@pytest.fixture(scope="session")
def network(pytestconfig) -> Path:
    """A folder with the network; exporting it anew takes a minute on a busy machine."""
    makers = hashlib.sha256()
    for source in sorted([*ROOT.glob("export/*.py"), *ROOT.glob("contract/*.py"), NETWORK]):
        makers.update(source.read_bytes())
    folder = Path(pytestconfig.cache.mkdir("faults-network")) / makers.hexdigest()[:16]
    folder.mkdir(exist_ok=True)
    places = [str(ROOT), str(ROOT / "scripts")]
    subprocess.run([sys.executable, "-c", EXPORT, str(folder), *places], check=True)
    return folder


def run_script(name, *words, within_s=120.0) -> subprocess.CompletedProcess[str]:
    """Run a script; it gives itself less than `within_s`, so that its own word is heard."""
    if shutil.which("mosquitto") is None:
        pytest.skip("needs mosquitto (apt-get install mosquitto)")
    command = [sys.executable, str(ROOT / "scripts" / name), *map(str, words)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as script:
        try:
            said = script.communicate(timeout=within_s)
        except BaseException:
            script.terminate()  # so that it ends what it started
            raise
    return subprocess.CompletedProcess(command, script.returncode, *said)


@pytest.fixture(scope="session")
def run():
    """The function above, for tests that cannot import a conftest."""
    return run_script
