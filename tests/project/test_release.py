"""A release can be made again byte by byte, checked by anybody, and claims no audit it had not."""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.util
import json
import shlex
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
    git("clone", "--quiet", "--depth", "1", f"file://{ROOT}", place)
    (place / "scripts" / "audit").write_text(STAND_IN)
    who = ("-c", "user.name=a test", "-c", "user.email=test@localhost")
    git("-C", place, *who, "commit", "--quiet", "--all", "--message", "ask nobody")
    return place


# of scripts/audit, for no test may hang on what a public database holds today
STAND_IN = """\
import os, sys
print(os.environ.get("AUDIT_SAYS", "120 packages looked up, 0 faults known"))
print("its last words", file=sys.stderr)
sys.exit(int(os.environ.get("AUDIT_CODE", 0)))
"""
UNANSWERED = "0 packages looked up, 0 faults known\nnot audited: click: no answer"
FOUND = "120 packages looked up, 1 faults known\naiohttp 3.8: PYSEC-1, mended by 3.9"


def git(*words):
    done = subprocess.run(["git", *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


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
    done = release(commit, "--out", tmp_path / "dist", *signing)
    assert done.returncode == 0, done.stderr
    files = {path.name: path.read_bytes() for path in (tmp_path / "dist").iterdir()}
    sums = files.pop("SHA256SUMS")
    signature = files.pop("SHA256SUMS.sig")
    listed = dict(reversed(line.split("  ")) for line in sums.decode().splitlines())
    assert listed == {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    Ed25519PublicKey.from_public_bytes(read_public_key(public)).verify(signature, sums)
    if shutil.which("openssl"):  # as the guide shows it
        shutil.copy(public, tmp_path / "dist" / "release.pub")
        guide = (ROOT / "docs" / "operations.md").read_text().splitlines()
        (line,) = (each for each in guide if each.startswith("openssl pkeyutl"))
        subprocess.run(shlex.split(line), cwd=tmp_path / "dist", check=True)
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


@pytest.mark.parametrize(
    ("code", "said", "options", "exits", "told"),
    [
        (3, FOUND, ["--unaudited"], 3, "known vulnerabilities: update them first"),
        (1, UNANSWERED, [], 1, "not audited (see above)"),
        (1, "", ["--unaudited"], 1, "scripts/audit failed (1): its last words"),
        (2, UNANSWERED, ["--unaudited"], 1, "scripts/audit failed (2): its last words"),
    ],
)
def test_no_release_is_made_of_what_was_not_found_sound(
    commit, tmp_path, monkeypatch, code, said, options, exits, told
):
    monkeypatch.setenv("AUDIT_CODE", str(code))
    monkeypatch.setenv("AUDIT_SAYS", said)
    done = release(commit, "--out", tmp_path / "dist", *options)
    assert done.returncode == exits
    assert told in done.stderr
    assert not (tmp_path / "dist").exists()


@pytest.fixture
def check(tmp_path, monkeypatch):
    """Runs scripts/check with programs that find nothing, and an audit that says what is given."""
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    for name in ("python", "ruff", "mypy"):
        program = venv / "bin" / name
        program.write_text(PROGRAM)
        program.chmod(0o755)
    monkeypatch.setenv("GASEDGE_VENV", str(venv))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")

    def run(code, said):
        monkeypatch.setenv("AUDIT_CODE", str(code))
        monkeypatch.setenv("AUDIT_SAYS", said)
        return subprocess.run([ROOT / "scripts" / "check"], capture_output=True, text=True)

    return run


PROGRAM = """\
#!/bin/sh
[ "$1" = scripts/audit ] || exit 0
printf '%s\\n' "$AUDIT_SAYS"
exit "$AUDIT_CODE"
"""


@pytest.mark.parametrize(
    ("code", "said", "told"),
    [
        (0, "120 packages looked up, 0 faults known", "checks passed\n"),
        (1, UNANSWERED, "checks passed; but: not audited here"),
    ],
)
def test_a_database_that_cannot_be_asked_is_told_and_keeps_no_test_from_running(
    check, code, said, told
):
    done = check(code, said)
    assert done.returncode == 0, done.stderr
    assert said in done.stderr
    assert told in done.stderr


@pytest.mark.parametrize(("code", "said"), [(3, FOUND), (1, ""), (2, UNANSWERED), (127, "")])
def test_known_vulnerability_and_audit_that_crashed_fail_the_check(check, code, said):
    done = check(code, said)
    assert done.returncode == 1
    assert "checks passed" not in done.stderr


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
        ([], 1, "not audited: no package was looked up"),
    ],
)
def test_what_nobody_answered_is_not_audited_and_never_called_sound(found, code, said):
    audit = script("audit")
    verdict = audit.verdict_of(pip_audit_says(*found))
    assert verdict.code == code
    assert said in audit.text_of(verdict)
