"""Modbus TCP read by clients of other makes (mbpoll, pymodbus) and by raw bytes."""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
import socket
import struct
import subprocess
import time
from pathlib import Path

import pytest

from contract.tags import MAP_VERSION, Quality

needs_mbpoll = pytest.mark.skipif(shutil.which("mbpoll") is None, reason="needs mbpoll (apt)")


@pytest.fixture(scope="module")
def gateway(plant, tmp_path_factory):
    with plant.run(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture
def speaking(plant, gateway):
    with plant.speak(gateway), connect(gateway) as connection:
        plant.until(lambda: block(connection)[5] == Quality.GOOD and block(connection)[2] == 2)
        yield gateway


def poll(gateway, *options, unit=1):
    """What mbpoll prints, by its 1-based reference."""
    done = subprocess.run(
        [
            "mbpoll",
            "-m",
            "tcp",
            "-p",
            str(gateway.ports["modbus"]),
            "-a",
            str(unit),
            *options,
            "-1",
            "127.0.0.1",
        ],
        capture_output=True,
        text=True,
        timeout=20,
    )
    return dict(re.findall(r"^\[(\d+)\]:\s+(\S+)", done.stdout, re.MULTILINE)), done


def connect(gateway):
    return socket.create_connection(("127.0.0.1", gateway.ports["modbus"]), timeout=10)


def request(transaction, pdu, unit=1):
    return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu


def reply(connection):
    """Transaction and PDU of the next answer."""
    prefix = exactly(connection, 7)
    transaction, _, length, _ = struct.unpack(">HHHB", prefix)
    return transaction, exactly(connection, length - 1)


def exactly(connection, count):
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        assert piece, "the gateway closed the connection"
        data += piece
    return data


READ_BLOCK = struct.pack(">BHH", 4, 0, 125)


def block(connection, transaction=1):
    connection.sendall(request(transaction, READ_BLOCK))
    return struct.unpack(">125H", reply(connection)[1][2:])


@needs_mbpoll
def test_mbpoll_reads_floats_longs_and_bits_as_the_sheet_says(speaking):
    floats, _ = poll(speaking, "-t", "3:float", "-B", "-r", "11", "-c", "2")
    assert floats == {"11": "0.8125", "13": "0.0625"}
    longs, _ = poll(speaking, "-t", "3:int", "-B", "-r", "15", "-c", "1")
    assert longs == {"15": "70000"}
    bits, _ = poll(speaking, "-t", "1", "-r", "1", "-c", "16")
    assert bits.pop("16") in "01"  # whether a time server keeps this machine's clock
    assert [place for place, bit in bits.items() if bit == "1"] == ["1", "2", "5", "6", "9"]
    _, refused = poll(speaking, "-t", "3", "-r", "125", "-c", "2")
    assert "Illegal data address" in refused.stdout + refused.stderr
    _, refused = poll(speaking, "-t", "3", "-r", "1", "-c", "1", unit=3)
    assert "Target device failed to respond" in refused.stdout + refused.stderr


def test_pymodbus_reads_by_all_four_functions_and_is_refused_the_rest(speaking):
    client_module = pytest.importorskip("pymodbus.client")
    client = client_module.ModbusTcpClient("127.0.0.1", port=speaking.ports["modbus"])
    assert client.connect()
    try:
        words = client.read_input_registers(0, count=125, device_id=1).registers
        assert client.read_holding_registers(0, count=8, device_id=1).registers == words[:8]
        inputs = client.read_discrete_inputs(0, count=16, device_id=1).bits[:16]
        assert client.read_coils(0, count=16, device_id=1).bits[:16] == inputs
        assert client.write_register(2, 0, device_id=1).exception_code == 1
        assert client.write_coil(0, True, device_id=1).exception_code == 1  # noqa: FBT003
        assert client.read_input_registers(120, count=6, device_id=1).exception_code == 2
        assert client.read_input_registers(0, count=1, device_id=9).exception_code == 0x0B
        identity = client.read_device_information(read_code=2, device_id=1).information
        assert identity[0] == b"gasedge"
        assert identity[6] == b"T1"
    finally:
        client.close()
    assert words[0] == MAP_VERSION


def test_five_requests_in_one_segment_get_five_answers_in_order(speaking):
    with connect(speaking) as connection:
        connection.sendall(b"".join(request(number, READ_BLOCK) for number in range(1, 6)))
        answers = [reply(connection) for _ in range(5)]
    assert [transaction for transaction, _ in answers] == [1, 2, 3, 4, 5]
    assert all(len(pdu) == 252 for _, pdu in answers)


def test_pipelined_answers_do_not_wait_for_each_other(speaking):
    """Small answers that are held back for an acknowledgement cost 40 ms a batch."""
    took_s = []
    with connect(speaking) as connection:
        for _ in range(21):
            began = time.monotonic()
            connection.sendall(b"".join(request(number, READ_BLOCK) for number in range(1, 6)))
            assert [reply(connection)[0] for _ in range(5)] == [1, 2, 3, 4, 5]
            took_s.append(time.monotonic() - began)
    assert sorted(took_s)[10] < 0.03


def test_a_request_in_single_bytes_is_answered(speaking):
    with connect(speaking) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in request(77, READ_BLOCK):
            connection.send(bytes([octet]))
        assert reply(connection)[0] == 77


@pytest.mark.parametrize(
    ("pdu", "code"),
    [
        (b"\x06\x00\x02\x00\x00", 1),
        (b"\x10\x00\x02\x00\x01\x02\x00\x00", 1),
        (b"\x05\x00\x00\xff\x00", 1),
        (b"\x2b\x0d\x00", 1),
        (b"\x07", 1),
        (b"\x04\x00\x7d\x00\x01", 2),
        (b"\x02\x00\x00\x00\x11", 2),
        (b"\x04\x00\x00\x00\x00", 3),
        (b"\x04\x00\x00\x00\x7e", 3),
        (b"\x04\x00\x00\x00", 3),
        (b"\x2b\x0e\x09\x00", 3),
        (b"\x2b\x0e\x04\x55", 2),
    ],
)
def test_what_is_not_a_read_of_the_map_gets_its_exception(gateway, pdu, code):
    with connect(gateway) as connection:
        connection.sendall(request(5, pdu))
        assert reply(connection) == (5, bytes([pdu[0] | 0x80, code]))


def test_nonsense_closes_only_its_own_connection(gateway):
    with connect(gateway) as good, connect(gateway) as bad:
        bad.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert bad.recv(100) == b""
        assert block(good)[0] == MAP_VERSION


def test_one_block_is_of_one_snapshot(plant, gateway):
    """Each snapshot carries one number in many places; a mixed block would show two."""
    number = 0

    def changing():
        nonlocal number
        number = (number + 1) % 1000
        values = {
            "Leak/AreaPx": number * 65537,
            "Leak/DurationS": number * 65537,
            "Leak/Count": number,
            "Leak/BBox": (number, number, number, number),
        }
        return plant.snapshot(**{name.replace("/", "__"): v for name, v in values.items()})

    with plant.speak(gateway, changing, period_s=0.002), connect(gateway) as connection:
        plant.until(lambda: block(connection)[16] == block(connection)[34])
        seen = set()
        for transaction in range(1, 300):
            words = block(connection, transaction)
            assert set(words[14:17]) == set(words[18:20]) == set(words[34:38]) == {words[16]}
            seen.add(words[16])
    assert len(seen) > 5


def test_silence_turns_the_state_unknown_and_stops_the_heartbeat(plant, gateway):
    with connect(gateway) as connection:
        with plant.speak(gateway, lambda: plant.snapshot(Leak__State=0)):
            plant.until(lambda: block(connection)[2] == 0)
            ended = time.monotonic()
        plant.until(lambda: block(connection)[5] == Quality.STALE)
        assert block(connection)[2] == 0  # the last value is held, and quality says that it is old
        plant.until(lambda: block(connection)[2] == 255)
        assert 1.2 < time.monotonic() - ended < 2.5
        words = block(connection)
        assert (words[5], words[4], words[7] & 512) == (3, 1, 512)
        assert math.isnan(struct.unpack(">f", struct.pack(">2H", *words[10:12]))[0])
        assert words[30] == 65535
        assert words[1] == block(connection)[1]
        connection.sendall(request(9, struct.pack(">BHH", 2, 0, 16)))
        bits = int.from_bytes(reply(connection)[1][2:], "little")
        assert bits & 0b1_0000 == 0  # DataGood
        assert bits & 0b100  # Fault


def test_a_client_that_reads_nothing_delays_no_other(plant, speaking):
    """It asks without end and never reads; the others and the freshness watch go on."""
    with connect(speaking) as stalled, connect(speaking) as other:
        stalled.settimeout(0)
        flood = request(1, READ_BLOCK) * 400
        for _ in range(200):
            try:
                stalled.send(flood)
            except BlockingIOError:
                break
        slowest = 0.0
        for transaction in range(100):
            began = time.monotonic()
            words = block(other, transaction)
            slowest = max(slowest, time.monotonic() - began)
            assert words[5] == 0
        assert slowest < 1.0
    assert resident_mb(speaking) < 250


def test_a_flood_is_held_to_what_a_master_needs_and_costs_next_to_nothing(speaking):
    with connect(speaking) as connection, connect(speaking) as other:
        answered = 0
        spent_s, began = processor_s(speaking), time.monotonic()
        while time.monotonic() - began < 2.0:
            connection.sendall(request(1, READ_BLOCK) * 20)
            for _ in range(20):
                reply(connection)
                answered += 1
        took_s = time.monotonic() - began
        assert 200 <= answered <= 200 + 220 * took_s + 20
        assert (processor_s(speaking) - spent_s) / took_s < 0.5  # a fifth, with all else
        assert block(other)[0] == MAP_VERSION


def processor_s(gateway):
    fields = Path(f"/proc/{gateway.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def is_answered(connection):
    with contextlib.suppress(AssertionError, OSError):
        return block(connection)[0] == MAP_VERSION
    connection.close()
    return False


def test_clients_that_hold_all_places_make_room_for_a_new_one(plant, gateway):
    idle = []
    try:
        while len(idle) < 16:  # who asked whether the gateway is up may hold a place for a moment
            idle = [each for each in (*idle, connect(gateway)) if is_answered(each)]
        time.sleep(1.1)  # quiet for longer than a busy master ever is
        with connect(gateway) as newcomer:
            assert block(newcomer)[0] == MAP_VERSION
    finally:
        for each in idle:
            each.close()


def resident_mb(gateway):
    lines = Path(f"/proc/{gateway.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))
