"""Kill -9 of a process that keeps alarms, audit and events, in random moments, again and again.

    python tests/edge_runtime/alarms/kills.py --kills 200

The child looks, acts, delivers and says on a pipe what it was promised to be kept; the parent kills
it, opens the file and holds it to every promise of every child so far.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from contract.alarms import Action, ActionKind, Alarm
from contract.audit import Chain
from contract.roles import Role
from contract.tags import CameraSnapshot, LeakState, Quality
from edge_runtime.alarms.desk import Desk, WatchedCamera
from edge_runtime.alarms.journal import Journal
from edge_runtime.alarms.machine import state_of
from edge_runtime.alarms.memories import Memories
from edge_runtime.database import FILE, Database
from edge_runtime.outbox import Outbox, Stream
from edge_runtime.plant.freshness import Published

CAMERA = "yard"


def opened(folder: Path) -> tuple[Database, Outbox]:
    database = Database(folder / FILE)
    # one consumer takes away, the other one never does, so that every event can be counted
    consumers = ["events", "never"]
    return database, Outbox(database, max_bytes=1 << 30, max_age_s=1e9, consumers=consumers)


def live(folder: Path, pipe: int, seed: int) -> None:
    """The child: until it is killed."""
    choose = random.Random(seed)
    database, outbox = opened(folder)
    desk = Desk([WatchedCamera(CAMERA)], database)
    said: list[str] = []

    def put(alarm: Alarm) -> None:
        outbox.put(Stream.EVENT, event_of(alarm).encode(), alarm.changed_ns)

    desk.keep_with(put)
    desk.listen(lambda alarm: said.append(event_of(alarm)))
    kinds = [kind for kind in ActionKind if kind is not ActionKind.COMMENT]
    while True:
        state = choose.choice([LeakState.NONE, LeakState.LEAK])
        values = {"Leak/State": int(state), "Health/Code": 0, "Health/NE107": 0}
        snapshot = CameraSnapshot(CAMERA, 1, Quality.GOOD, 0, 0, values)
        desk.look(Published(snapshot, heard=True))
        kind = choose.choice(kinds)
        desk.act(Action(kind, f"{CAMERA}.leak", "operator1", Role.ENGINEER, "test", seconds=60.0))
        if choose.random() < 0.3 and (waiting := outbox.waiting("events", Stream.EVENT, 5)):
            outbox.delivered("events", Stream.EVENT, waiting[-1].n)
        last = database.rows("SELECT MAX(n) FROM audit")[0][0] or 0
        os.write(pipe, json.dumps({"events": said, "audit": last}).encode() + b"\n")
        said.clear()


def event_of(alarm: Alarm) -> str:
    return f"{alarm.id} {alarm.state.name} {alarm.changed_ns} {alarm.event_id}"


def killed(folder: Path, seed: int, choose: random.Random) -> list[dict]:
    """Let a child live for a while; what it said before it was killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        os.closerange(1, 3)  # what a child logs is nobody's
        live(folder, writing, seed)
        os._exit(1)
    os.close(writing)
    time.sleep(choose.uniform(0.0, 0.1))  # real time: a kill has no clock of its own
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as pipe:
        lines = pipe.read().split(b"\n")
    return [json.loads(line) for line in lines[:-1]]


def check(folder: Path, promised: list[str], audited: int) -> dict[str, int]:
    """Hold the file to every promise."""
    database, outbox = opened(folder)
    with database:
        assert not database.put_aside, database.put_aside
        _, records = Journal(database).after(0, 1_000_000)
        chain = Chain()
        for record in records:
            chain.take(record)
        assert not chain.fault, chain.fault
        assert chain.n >= audited, f"{audited - chain.n} audit records are lost"
        events = outbox.waiting("never", Stream.EVENT, 1 << 30)
        assert [each.n for each in events] == list(range(1, len(events) + 1))
        bodies = [each.body.decode() for each in events]
        assert len(set(bodies)) == len(bodies), "an event stands there twice"
        kept = iter(bodies)
        lost = [each for each in promised if each not in kept]
        assert not lost, f"lost or out of order: {lost[:3]}"
        changes = [each for each in records if each.category == "alarm" or each.result == "done"]
        assert len(changes) == len(bodies), "a change without its event, or the other way round"
        memory = Memories(database).read()[0].get(f"{CAMERA}.leak")
        if memory is not None:
            assert bodies[-1].split()[1:3] == [state_of(memory).name, str(memory.changed_ns)]
    return {
        "events": len(bodies),
        "events_promised": len(promised),
        "audit": len(records),
        "audit_promised": audited,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    choose = random.Random(given.seed)
    promised: list[str] = []
    audited = 0
    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(given.kills):
            for line in killed(folder, given.seed * 100_000 + number, choose):
                promised += line["events"]
                audited = line["audit"]
            if number % 5 == 4 or number == given.kills - 1:
                found = check(folder, promised, audited)
    took_s = time.monotonic() - begun_s
    said = {"kills": given.kills, **found, "lost": 0, "seconds": round(took_s, 1)}
    sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main()
