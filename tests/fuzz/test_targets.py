"""Every parser that meets outside bytes keeps its promises: on seeds, noise and what broke it once.

`scripts/fuzz` looks deeper, guided by coverage; here each target is tried for a moment, so that it
is known to work and that nothing which was mended breaks again.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.target import FOUND, found, names, target, timed

ROOT = Path(__file__).resolve().parents[2]
MUTANTS = 50


def mutated(data, dice):
    """One to four small damages."""
    data = bytearray(data)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(data) + 1)
        kind = dice.randrange(5)
        if kind == 0:
            data[at : at + 1] = dice.randbytes(1)
        elif kind == 1:
            del data[at : at + dice.randint(1, 8)]
        elif kind == 2:
            data[at:at] = dice.randbytes(dice.randint(1, 8))
        elif kind == 3:
            data[at : at + 4] = dice.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"))
        else:
            data[at:at] = data[: dice.randint(0, 64)]
    return bytes(data)


@pytest.mark.parametrize("name", names())
def test_parser_takes_its_seeds_and_refuses_the_rest_as_promised(name):
    each = target(name)
    seeds = each.seeds()
    assert len(set(seeds)) > 1
    dice = random.Random(name)
    with timed(each) as run:
        for seed in seeds:
            run(seed)
        for _ in range(MUTANTS):
            run(mutated(dice.choice(seeds), dice))
        for data in (b"", b"\0", b"\xff" * each.max_bytes):
            run(data)


def broken_once():
    return [(name, path) for name in names() for path in found(name)]


@pytest.mark.parametrize(
    ("name", "path"), broken_once(), ids=lambda each: getattr(each, "name", each)
)
def test_what_broke_a_promise_once_keeps_it_now(name, path):
    with timed(target(name)) as run:
        run(path.read_bytes())


def test_every_finding_belongs_to_a_target():
    assert {each.name for each in FOUND.iterdir()} <= set(names())


@pytest.mark.slow
def test_fuzzing_by_coverage_finds_its_way_beyond_the_seeds(tmp_path):
    pytest.importorskip("atheris", reason="atheris has no wheel here: pip install 'gasedge[fuzz]'")
    words = [sys.executable, str(ROOT / "scripts" / "fuzz"), "mask", "--runs", "3000", "--json"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (outcome,) = json.loads(done.stdout)
    assert outcome["executions"] >= 3000
    assert outcome["covered"] > 20
    assert not outcome["findings"]
    assert not list(tmp_path.iterdir())
