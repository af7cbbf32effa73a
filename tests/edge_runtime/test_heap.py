"""What a password's hash took goes back to the system, whichever thread hashed."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from tests.project.source_tree import ROOT

HASH = """
import hashlib, sys, threading
from edge_runtime.heap import give_back_large_pieces

def resident_kb():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))

def log_in():
    hashlib.scrypt(b"password", salt=b"salt", n=1 << 14, r=8, p=1)

if sys.argv[1] == "yes":
    give_back_large_pieces()
before_kb = resident_kb()
for _ in range(2):
    together = threading.Barrier(2)
    many = [threading.Thread(target=lambda: (together.wait(), log_in())) for _ in range(2)]
    for each in many:
        each.start()
    for each in many:
        each.join()
print(resident_kb() - before_kb)
"""


def held_mb(given_back):
    command = [sys.executable, "-c", HASH, given_back]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return int(done.stdout) / 1024


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the limit is glibc's")
def test_log_ins_leave_nothing_of_their_hashes_in_memory():
    assert held_mb("no") > 10, "nothing is held that could be given back"
    assert held_mb("yes") < 5
