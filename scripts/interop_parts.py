"""Runs the tests of each protocol against its independent clients; see `scripts/interop`."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET  # our own pytest writes it

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests" / "plant"


@dataclass(frozen=True, slots=True)
class Part:
    """One set of clients and the tests that use them."""

    name: str
    clients: str
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """How the tests of a part went."""

    passed: int
    failed: int
    skipped: int
    took_s: float
    reasons: tuple[str, ...]  # of what was skipped
    faults: tuple[str, ...]  # names of what failed


PARTS = (
    Part("opcua", "node-opcua", ("test_opcua.py", "test_opcua_alarms.py")),
    Part("second-stack", "open62541, by o6", ("test_opcua_second_stack.py",)),
    Part(
        "modbus",
        "mbpoll, pymodbus, raw bytes, openssl",
        ("test_modbus.py", "test_modbus_tls.py", "test_modbus_fuzz.py"),
    ),
    Part("table", "node-opcua, modbus-serial, mbpoll, sparkplug-payload", ("test_one_table.py",)),
    Part(
        "mqtt",
        "mosquitto, nats-server, paho, sparkplug-payload",
        ("test_sparkplug.py", "test_sparkplug_node.py", "test_sparkplug_wire.py"),
    ),
    Part("events", "mosquitto, paho", ("test_mqtt_events.py",)),
    Part("wire", "tshark", ("test_wire.py",)),
    Part("node-red", "Node-RED 4 and its OPC UA, Modbus and MQTT nodes", ("test_node_red.py",)),
    Part("page", "Chromium", ("test_page.py", "test_page_login.py")),
)


def main() -> int:
    """Run the wished parts; 1 when one failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = [each.name for each in PARTS]
    parser.add_argument("--part", action="append", choices=names, help="only this one; repeatable")
    parser.add_argument("--list", action="store_true", help="print the parts and their clients")
    given = parser.parse_args()
    parts = [each for each in PARTS if given.part is None or each.name in given.part]
    if given.list:
        for each in parts:
            print(f"{each.name:<14}{each.clients}")
        return 0
    results = {}
    for each in parts:
        print(f"== {each.name}: {each.clients}", file=sys.stderr)
        results[each] = run(each)
    print(f"{'part':<14}{'passed':>7}{'failed':>7}{'skipped':>8}{'seconds':>8}  clients")
    for part, result in results.items():
        figures = f"{result.passed:>7}{result.failed:>7}{result.skipped:>8}{result.took_s:>8.0f}"
        print(f"{part.name:<14}{figures}  {part.clients}")
    for part, result in results.items():
        for reason in result.reasons:
            print(f"{part.name}: not tried: {reason}")
        for fault in result.faults:
            print(f"{part.name}: FAILED: {fault}")
    return int(any(each.failed for each in results.values()))


def run(part: Part) -> Result:
    """Run a part's tests in a process of their own."""
    begin_s = time.monotonic()
    files = [TESTS / each for each in part.files]
    with tempfile.TemporaryDirectory(prefix="gasedge-interop-") as folder:
        report = Path(folder) / "report.xml"
        words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        words += ["-o", "junit_family=xunit1", "--no-header", f"--junitxml={report}"]
        done = subprocess.run([*words, *files], cwd=ROOT, stdout=sys.stderr, check=False)
        took_s = time.monotonic() - begin_s
        if not report.exists():
            return Result(0, 1, 0, took_s, (), (f"pytest ended with code {done.returncode}",))
        cases = list(ET.parse(report).iter("testcase"))  # noqa: S314 - written just now, by us
    failed = [each for each in cases if {"failure", "error"} & {child.tag for child in each}]
    skips = [child for each in cases for child in each if child.tag == "skipped"]
    reasons = sorted({skip.get("message", "") for skip in skips})
    broken = done.returncode not in (0, 1, 5) and not failed
    faults = [each.get("name", "") for each in failed] + ["pytest itself"] * broken
    passed = len(cases) - len(failed) - len(skips)
    return Result(passed, len(faults), len(skips), took_s, tuple(reasons), tuple(faults))


if __name__ == "__main__":
    sys.exit(main())
