"""A certificate that nobody looks at asks for maintenance before clients refuse it."""

from __future__ import annotations

import asyncio
import datetime as dt
import socket

import pytest

from edge_runtime.plant import certificate_watch
from edge_runtime.plant.certificate_watch import certificates_watched, ending_soon
from edge_runtime.plant.config import ModbusConfig, ModbusTlsConfig, PageConfig, PlantConfig
from tests.plant.test_modbus_tls import make

pytest.importorskip("cryptography.x509")

NOW = dt.datetime.now(dt.timezone.utc)


@pytest.mark.parametrize(
    ("days", "said"), [(400, None), (31, None), (10, "ends in 9 days"), (0, "has ended on")]
)
def test_the_last_thirty_days_are_told_with_what_to_do(tmp_path, days, said):
    make(tmp_path, "device", days=days)
    now = dt.datetime.now(dt.timezone.utc)
    text = ending_soon(tmp_path / "device.pem", now, "put a new one there")
    assert (text is None) == (said is None)
    if said is not None:
        assert said in text
        assert text.endswith("put a new one there")


def test_a_certificate_that_cannot_be_read_is_told_too(tmp_path):
    assert "cannot be read" in ending_soon(tmp_path / "none.pem", NOW, "make one")
    (tmp_path / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    assert "cannot be read" in ending_soon(tmp_path / "broken.pem", NOW, "make one")


class Told:
    """Keeps what stands for maintenance, as the desk does."""

    def __init__(self) -> None:
        self.stands: dict[str, str | None] = {}
        self._news = asyncio.Event()

    def maintain(self, reason, text):
        self.stands[reason] = text
        self._news.set()

    async def until(self, condition):
        while not condition(self.stands):
            self._news.clear()
            await self._news.wait()


def test_modbus_and_page_are_watched_and_a_new_certificate_ends_it(tmp_path, monkeypatch):
    monkeypatch.setattr(certificate_watch, "_LOOK_S", 0.01)
    make(tmp_path, "device", days=3)
    make(tmp_path, "page", days=3)
    tls = ModbusTlsConfig(
        certificate=tmp_path / "device.pem", key=tmp_path / "device-key.pem", trusted=tmp_path
    )
    page = PageConfig(
        tls=True, certificate=tmp_path / "page.pem", key=tmp_path / "page-key.pem", port=1
    )
    config = PlantConfig(modbus=ModbusConfig(tls=tls), page=page)
    told = Told()

    async def scene():
        async with certificates_watched(config, told):
            await told.until(lambda stands: len(stands) == 2)
            assert all("ends in 2 days" in text for text in told.stands.values())
            make(tmp_path, "device")
            await told.until(lambda stands: stands["modbus certificate"] is None)
        assert told.stands["page certificate"] is not None

    asyncio.run(asyncio.wait_for(scene(), 20))
    assert set(told.stands) == {"modbus certificate", "page certificate"}


def test_without_certificates_nothing_is_watched():
    async def scene():
        before = asyncio.all_tasks()
        async with certificates_watched(PlantConfig(modbus=ModbusConfig()), Told()):
            assert asyncio.all_tasks() == before

    asyncio.run(scene())


def test_the_gateway_says_so_over_modbus_itself(plant, tmp_path):
    make(tmp_path / "keys", "device", days=10)
    make(tmp_path / "others", "somebody")
    keys = tmp_path / "keys"
    table = (
        f'certificate = "{keys / "device.pem"}"\nkey = "{keys / "device-key.pem"}"\n'
        f'trusted = "{tmp_path / "others" / "somebody.pem"}"\n'
    )
    with plant.run(
        tmp_path / "g", serve=("modbus", "modbus.tls"), more={"modbus.tls": table}
    ) as gateway:
        plant.until(lambda: gateway.said("certificate ends in 9 days"))
        with plant.speak(gateway, lambda: plant.snapshot(Leak__State=0)):
            plant.until(lambda: ne107(gateway.ports["modbus"]) == 4)


def ne107(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as modbus:
        modbus.sendall(bytes.fromhex("0001 0000 0006 01 04 0004 0001"))
        return modbus.recv(300)[10]
