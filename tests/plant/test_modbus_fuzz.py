"""Twenty thousand seeded requests that nobody would send: each is answered, none does any harm."""

from __future__ import annotations

import contextlib
import random
import socket
import struct

import pytest

from contract.tags import MAP_VERSION
from edge_runtime.plant.modbus_answers import answer
from edge_runtime.plant.registers import block_of

REQUESTS = 20_000
BATCH = 100
IDENTITY = {0: "gasedge", 1: "gasedge", 2: "0.1.0", 4: "x" * 100, 6: "T1"}
FUNCTIONS = (1, 2, 3, 4, 0x2B)
EXCEPTIONS = {1, 2, 3, 0x0B}


def requests(seed):
    """(unit, PDU): a third random, a third almost right, a third right but for its numbers."""
    dice = random.Random(seed)
    for _ in range(REQUESTS):
        kind = dice.random()
        if kind < 0.34:
            pdu = dice.randbytes(dice.randint(1, 253))
        elif kind < 0.67:
            pdu = bytes([dice.choice(FUNCTIONS)]) + dice.randbytes(dice.randint(0, 8))
        else:
            numbers = dice.randint(0, 140), dice.randint(0, 140)
            pdu = struct.pack(">BHH", dice.choice(FUNCTIONS), *numbers)
        yield dice.choice((0, 1, 1, 2, 3, 255)), pdu


def check(unit, pdu, found):
    """An answer is data of the size that was asked for, or an exception that fits."""
    assert 2 <= len(found) <= 253
    if found[0] & 0x80:
        assert found[0] == pdu[0] | 0x80
        assert len(found) == 2
        assert found[1] in EXCEPTIONS
        assert (found[1] == 0x0B) == (unit not in (1, 2))
        return
    assert found[0] == pdu[0]
    assert unit in (1, 2)
    if pdu[0] in (1, 2, 3, 4):
        first, count = struct.unpack(">HH", pdu[1:])
        bits = pdu[0] < 3
        assert first + count <= (16 if bits else 125)
        assert found[1] == len(found) - 2 == ((count + 7) // 8 if bits else 2 * count)
    else:
        assert pdu[:2] == found[:2] == b"\x2b\x0e"


def test_every_answer_is_of_the_form_that_the_request_allows(plant):
    known = block_of(plant.snapshot())
    for unit, pdu in requests(1):
        check(unit, pdu, answer(pdu, known if unit in (1, 2) else None, IDENTITY))


@pytest.fixture(scope="module")
def gateway(plant, tmp_path_factory):
    with plant.run(tmp_path_factory.mktemp("gateway")) as running:
        yield running


def connect(gateway):
    return socket.create_connection(("127.0.0.1", gateway.ports["modbus"]), timeout=10)


def framed(transaction, unit, pdu):
    return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu


def test_a_running_gateway_answers_each_of_them_in_order(gateway):
    several = list(requests(2))
    with contextlib.ExitStack() as stack:
        # one alone would be held to what a master needs
        lines = [stack.enter_context(connect(gateway)) for _ in range(16)]
        streams = [stack.enter_context(each.makefile("rb")) for each in lines]
        for begin in range(0, len(several), BATCH):
            batch = several[begin : begin + BATCH]
            connection, stream = (each[begin // BATCH % 16] for each in (lines, streams))
            sent = b"".join(framed(begin + n, *each) for n, each in enumerate(batch))
            connection.sendall(sent)
            for n, (unit, pdu) in enumerate(batch):
                transaction, zero, length, echoed = struct.unpack(">HHHB", stream.read(7))
                assert (transaction, zero, echoed) == (begin + n, 0, unit)
                check(unit, pdu, stream.read(length - 1))


def is_answered(gateway):
    with contextlib.suppress(OSError), connect(gateway) as one:
        one.sendall(framed(1, 1, struct.pack(">BHH", 4, 0, 1)))
        return bool(one.recv(11))
    return False


def test_streams_of_damaged_bytes_end_their_own_connection_only(plant, gateway):
    dice = random.Random(3)
    plant.until(lambda: is_answered(gateway))  # the test before may hold all places for a moment
    with connect(gateway) as good, good.makefile("rb") as stream:
        for number in range(300):
            with connect(gateway) as bad:
                whole = bytearray(framed(number, 1, struct.pack(">BHH", 4, 0, 10)) * 3)
                for _ in range(dice.randint(1, 6)):
                    whole[dice.randrange(len(whole))] = dice.randrange(256)
                bad.sendall(whole[: dice.randint(1, len(whole))])
            good.sendall(framed(number, 1, struct.pack(">BHH", 4, 0, 1)))
            answer_words = stream.read(11)
            assert answer_words[-2:] == MAP_VERSION.to_bytes(2, "big")
    assert not gateway.said("a connection failed")
