"""The link between frames and plant: never in the frames' way, and open to nobody else."""

from __future__ import annotations

import os
import signal
import socket
import statistics
import time

import pytest

from contract.errors import ConfigError, InputError
from contract.tags import CameraSnapshot, Quality
from edge_runtime.plant.link import PlantLink
from edge_runtime.plant.messages import (
    PREFIX_BYTES,
    Picture,
    decode_message,
    encode_picture,
    encode_snapshot,
    sizes_from_prefix,
)
from edge_runtime.plant.private_socket import _prepare


@pytest.fixture(scope="module")
def gateway(plant, tmp_path_factory):
    with plant.run(tmp_path_factory.mktemp("gateway")) as running:
        yield running


def quality(gateway):
    with socket.create_connection(("127.0.0.1", gateway.ports["modbus"]), timeout=10) as modbus:
        modbus.sendall(bytes.fromhex("0001 0000 0006 01 04 0005 0001"))
        return Quality(modbus.recv(100)[-1])


def parts(message):
    header, blob = sizes_from_prefix(message[:PREFIX_BYTES])
    body = message[PREFIX_BYTES:]
    assert len(body) == header + blob
    return body[:header], body[header:]


def test_a_snapshot_survives_the_wire(plant):
    sent = plant.snapshot()
    got = decode_message(*parts(encode_snapshot(sent, sent_ns=5, age_ns=6)))
    assert got.snapshot == sent
    assert (got.sent_ns, got.age_ns) == (5, 6)
    assert decode_message(*parts(encode_picture("north", b"jpeg", 9))) == Picture(
        "north", b"jpeg", 9
    )


@pytest.mark.parametrize(
    "values",
    [
        {"Leak/Score": float("nan")},
        {"Leak/AreaPx": -1},
        {"Leak/State": 256},
        {"Leak/BBox": (1, 2, 3)},
        {"No/Tag": 1},
    ],
)
def test_a_value_that_does_not_fit_the_table_is_refused_where_it_is_made(values):
    snapshot = CameraSnapshot("north", 1, Quality.GOOD, 0, 0, values)
    with pytest.raises(InputError):
        encode_snapshot(snapshot, sent_ns=0, age_ns=0)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 60000,
        b'{"kind":"snapshot","camera":"../x"}',
        b'{"kind":"snapshot","camera":"a","values":{"Leak/State":"x"},"unit_id":1}',
        b'{"kind":"snapshot","camera":"a","values":{"Leak/Score":1e999},"unit_id":1,"quality":0}',
        b'{"kind":"snapshot","camera":"a","values":{},"unit_id":1,"quality":9}',
    ],
)
def test_a_damaged_message_is_refused(header):
    with pytest.raises(InputError):
        decode_message(header, b"")


def test_sizes_are_refused_before_anything_is_read():
    with pytest.raises(InputError):
        sizes_from_prefix(b"GEL1" + b"\xff" * 8)
    with pytest.raises(InputError):
        sizes_from_prefix(b"pick" + b"\0" * 8)


def test_publishing_takes_no_time_while_the_gateway_is_stopped(plant, gateway):
    """Law 3: a gateway that takes nothing changes no frame's latency."""
    picture = os.urandom(200_000)
    with PlantLink(gateway.socket_path) as link:
        link.publish(plant.snapshot())
        plant.until(lambda: quality(gateway) is Quality.GOOD)
        gateway.send_signal(signal.SIGSTOP)
        try:
            took = []
            for _ in range(300):
                began = time.perf_counter()
                link.publish(plant.snapshot())
                link.show("north", picture, time.time_ns())
                took.append(time.perf_counter() - began)
                time.sleep(0.005)
        finally:
            gateway.send_signal(signal.SIGCONT)
        assert statistics.median(took) < 0.001
        assert link.superseded > 100
        # it goes on by itself, and what it shows is new
        deadline = time.monotonic() + 10
        while quality(gateway) is not Quality.GOOD and time.monotonic() < deadline:
            link.publish(plant.snapshot())
            time.sleep(0.05)
        assert quality(gateway) is Quality.GOOD


def test_a_link_without_a_gateway_connects_when_one_starts(plant, tmp_path):
    with PlantLink(tmp_path / "g" / "link" / "plant.sock") as link:
        for _ in range(10):
            link.publish(plant.snapshot())
        assert link.superseded >= 9
        with plant.run(tmp_path / "g") as gateway:
            deadline = time.monotonic() + 10
            while quality(gateway) is not Quality.GOOD and time.monotonic() < deadline:
                link.publish(plant.snapshot())
                time.sleep(0.05)
            assert link.connected
            assert quality(gateway) is Quality.GOOD


def test_a_faulty_value_does_not_end_the_link(plant, gateway):
    with PlantLink(gateway.socket_path) as link:
        link.publish(plant.snapshot(Leak__AreaPx="many"))
        plant.until(lambda: link.superseded == 1)
        link.publish(plant.snapshot())
        plant.until(lambda: quality(gateway) is Quality.GOOD)


def test_closing_ends_the_thread_and_twice_is_harmless(tmp_path):
    link = PlantLink(tmp_path / "nowhere")
    link.close()
    with link:
        pass
    link.close()


def test_nonsense_on_the_link_closes_it_and_changes_nothing(plant, gateway):
    with PlantLink(gateway.socket_path) as link:
        link.publish(plant.snapshot())
        plant.until(lambda: quality(gateway) is Quality.GOOD)
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.settimeout(10)
            stranger.connect(str(gateway.socket_path))
            stranger.sendall(b"GEL1" + b"\xff" * 100)
            assert stranger.recv(1) == b""
        link.publish(plant.snapshot())
        plant.until(lambda: quality(gateway) is Quality.GOOD)


def test_the_socket_is_private(gateway):
    assert gateway.socket_path.stat().st_mode & 0o777 == 0o600
    assert gateway.socket_path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_process_of_another_user_is_turned_away(plant, gateway, tmp_path):
    """The kernel's word counts, even where the file's mode would let a process in."""
    folder, path = gateway.socket_path.parent, gateway.socket_path
    above = [each for each in folder.parents if each.is_relative_to("/tmp/")]
    modes = {each: each.stat().st_mode & 0o777 for each in [path, folder, *above]}
    for each in modes:
        each.chmod(0o777)
    try:
        child = os.fork()
        if child == 0:
            code = 3
            try:
                os.setuid(65534)
                with socket.socket(socket.AF_UNIX) as stranger:
                    stranger.settimeout(10)
                    stranger.connect(str(path))
                    stranger.sendall(encode_snapshot(plant.snapshot(), sent_ns=0, age_ns=0))
                    code = 0 if stranger.recv(1) == b"" else 1
            except ConnectionError:
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert gateway.said("user 65534 was turned away")
    finally:
        for each, mode in modes.items():
            each.chmod(mode)


def test_a_folder_open_to_others_is_refused(tmp_path):
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o755)
    with pytest.raises(ConfigError, match="0700"):
        _prepare(folder / "plant.sock")
