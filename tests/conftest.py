"""Shared by all tests: where the real images are, and no test may leave threads behind."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

sys.modules["openvino_telemetry"] = None  # `importorskip` would report the import over the network
# Started in the background, a shell has SIGINT ignored, and children would inherit that: the tests
# of Ctrl-C would then wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("GASEDGE_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture
def real_data() -> Path:
    """The folder of real images, or a skip that says what is missing."""
    if not DATA.is_dir():
        pytest.skip(f"no real images at {DATA}; set GASEDGE_DATA to their folder")
    return DATA


@pytest.fixture(autouse=True)
def no_thread_is_left_behind():
    """Fail a test that leaves a non-daemon or a gasedge thread running."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        left = [
            t
            for t in threading.enumerate()
            if t not in before and t.is_alive() and (not t.daemon or t.name.startswith("gasedge"))
        ]
        if not left:
            return
        time.sleep(0.02)
    pytest.fail(f"threads left behind: {[t.name for t in left]}")


@pytest.fixture(scope="session", autouse=True)
def state_of_its_own(tmp_path_factory: pytest.TempPathFactory):
    """The secret that seals engines is one of the tests, not of who runs them."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))
    os.environ.pop("STATE_DIRECTORY", None)


@pytest.fixture(scope="session")
def tiny_bundle_original(pytestconfig: pytest.Config) -> Path:
    """The one tiny bundle: read it, never change it.

    Exporting takes seconds, so it is kept in pytest's cache under a hash of all that makes it.
    """
    pytest.importorskip("torch", reason="the tiny bundle is exported from torch")
    from tests.bundles import kept_tiny_bundle

    return kept_tiny_bundle(Path(pytestconfig.cache.mkdir("tiny-bundle")))


@pytest.fixture
def tiny_bundle(tiny_bundle_original: Path, tmp_path: Path) -> Path:
    """A copy of the tiny bundle (FP32 and FP16 graphs, 64x64) that the test may change.

    It is signed, with the public key `tests.pub` beside it; who changes it signs it anew.
    """
    from tests.signing import put_public_key

    copy = tmp_path / "tiny.gasedge"
    shutil.copytree(tiny_bundle_original, copy)
    put_public_key(tmp_path)
    return copy
