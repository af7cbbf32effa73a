"""Files that the box itself keeps, as a power cut or a bad disk may leave them.

The first byte says which: the slots, the rollback counter, an event's manifest of evidence, what
was seen of revocations.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path

from contract.errors import InputError, IntegrityError
from contract.signing_revocation import SeenRevocations
from edge_runtime.evidence.event_folder import MANIFEST, PUBLIC, SIGNATURE
from edge_runtime.evidence.verify import verify_event
from edge_runtime.model_trust import COUNTER, SEEN, kept_counter, seen_revocations
from edge_runtime.plant.page_clips import events_in
from edge_runtime.slots.state import Condition, SlotFacts, Slots
from edge_runtime.slots.store import SLOTS, SlotStore
from tests.fuzz.target import BrokenPromiseError, Target


def seeds():
    facts = SlotFacts(model_id="m", manifest_sha256="ab" * 32, rollback_counter=3)
    good = facts.model_copy(update={"condition": Condition.GOOD, "frame_ms": 12.5})
    slots = Slots(active="slot-a", slots={"slot-a": good, "slot-b": facts})
    event = {
        "camera": "north",
        "alarms": [{"zone": "flange"}],
        "onset_ns": 1,
        "from_ns": 1,
        "to_ns": 2,
        "test": False,
        "event_ids": ["a"],
        "files": {"clip.avi": {"sha256": "ab" * 32}, "../up": {"sha256": 1}},
    }
    return [
        b"\0" + slots.model_dump_json().encode(),
        b"\0{}",
        b'\1{"rollback_counter": 7}',
        b"\2" + json.dumps(event).encode(),
        b"\2" + json.dumps(event | {"files": {"\0": {}, "\ud800": []}}).encode(),
        b"\2" + b"[" * 4000,
        b"\3" + SeenRevocations(issue=3, keys=("0" * 16,)).model_dump_json().encode(),
    ]


@contextlib.contextmanager
def opened():
    with tempfile.TemporaryDirectory() as folder:
        event = Path(folder) / "evidence" / "20260101"
        event.mkdir(parents=True)
        for name in ("clip.avi", PUBLIC, SIGNATURE):
            (event / name).write_bytes(b"other bytes")
        store = SlotStore(Path(folder))

        def run(data):
            which, data = data[:1], data[1:]
            if which == b"\0":
                (Path(folder) / SLOTS).write_bytes(data)
                with contextlib.suppress(IntegrityError):
                    store.read()
            elif which == b"\1":
                (Path(folder) / COUNTER).write_bytes(data)
                with contextlib.suppress(IntegrityError):
                    if kept_counter(Path(folder)) < 0:
                        raise BrokenPromiseError("a counter below 0")
            elif which == b"\3":
                (Path(folder) / SEEN).write_bytes(data)
                with contextlib.suppress(IntegrityError):
                    if seen_revocations(Path(folder)).issue < 0:
                        raise BrokenPromiseError("an issue below 0")
            else:
                (event / MANIFEST).write_bytes(data)
                json.dumps(events_in(event.parent))
                with contextlib.suppress(InputError):
                    if not verify_event(event).faults:
                        raise BrokenPromiseError("evidence without a signature is believed")

        yield run


TARGET = Target("files that the box keeps", opened, seeds)
