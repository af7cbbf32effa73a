"""A release can be made again byte by byte, checked by anybody, and claims no audit it had not."""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.util
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from contract.signing_key import make_keys, read_public_key
from tests.project.source_tree import ROOT


def script(name):
    """One of the scripts as a module."""
    loader = importlib.machinery.SourceFileLoader(f"script_{name}", str(ROOT / "scripts" / name))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[loader.name] = module
    loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def commit(tmp_path_factory):
    """The last commit in a place of its own, where nothing is changed."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("no git history here to make a release from")
    pytest.importorskip("hatchling", reason="hatchling builds the wheel; it is in the dev extra")
    place = tmp_path_factory.mktemp("release") / "commit"
    words = ["git", "clone", "--quiet", "--depth", "1", f"file://{ROOT}", str(place)]
    cloned = subprocess.run(words, capture_output=True, text=True)
    assert cloned.returncode == 0, cloned.stderr
    return place


def release(commit, *words):
    command = [sys.executable, "scripts/release", *map(str, words)]
    return subprocess.run(command, cwd=commit, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_release_is_the_same_twice_hashed_signed_and_lists_what_is_inside(commit, tmp_path):
    (tmp_path / "words").touch(mode=0o600)
    (tmp_path / "words").write_text("a passphrase for tests\n")
    key, public = make_keys(tmp_path / "keys", "a passphrase for tests")
    signing = ["--key", key, "--passphrase-file", tmp_path / "words"]
    done = release(commit, "--out", tmp_path / "dist", "--unaudited", *signing)
    assert done.returncode == 0, done.stderr
    files = {path.name: path.read_bytes() for path in (tmp_path / "dist").iterdir()}
    sums = files.pop("SHA256SUMS")
    signature = files.pop("SHA256SUMS.sig")
    listed = dict(reversed(line.split("  ")) for line in sums.decode().splitlines())
    assert listed == {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    Ed25519PublicKey.from_public_bytes(read_public_key(public)).verify(signature, sums)
    assert sorted(Path(name).suffix for name in files) == [".gz", ".json", ".txt", ".whl"]
    bill = json.loads(files["gasedge.cdx.json"])
    assert str(ROOT) not in json.dumps(bill)
    assert b"numpy" in files["THIRD-PARTY-LICENSES.txt"]
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    dates = {each.date_time for each in zipfile.ZipFile(wheel).infolist()}
    assert len(dates) == 1  # of the commit


def test_a_changed_tree_is_no_release(commit, tmp_path):
    changed = tmp_path / "changed"
    shutil.copytree(commit, changed)
    (changed / "README.md").write_text("another\n")
    done = release(changed, "--out", tmp_path / "dist", "--unaudited")
    assert done.returncode == 2
    assert "commit them first" in done.stderr
    assert not (tmp_path / "dist").exists()


def pip_audit_says(*dependencies):
    return {"dependencies": list(dependencies), "fixes": []}


SOUND = {"name": "click", "version": "8.1", "vulns": []}
# as pip-audit 2.10 writes it where the database does not answer, with exit code 0
SKIPPED = {"name": "click", "skip_reason": "Dependency not found on PyPI"}
FAULTY = {
    "name": "aiohttp",
    "version": "3.8",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["3.9"], "aliases": [], "description": ""}],
}


@pytest.mark.parametrize(
    ("found", "code", "said"),
    [
        ([SOUND], 0, "1 packages looked up, 0 faults known"),
        ([SOUND, FAULTY, SKIPPED], 3, "aiohttp 3.8: PYSEC-1, mended by 3.9"),
        ([SOUND, SKIPPED], 1, "not audited: click: Dependency not found on PyPI"),
        ([SKIPPED], 1, "0 packages looked up"),
        ([], 1, "0 packages looked up"),
    ],
)
def test_what_nobody_answered_is_not_audited_and_never_called_sound(found, code, said):
    audit = script("audit")
    verdict = audit.verdict_of(pip_audit_says(*found))
    assert verdict.code == code
    assert said in audit.text_of(verdict)
