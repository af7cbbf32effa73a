"""The flow of docs/examples in Node-RED 4: one camera by three protocols shows one state."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import urllib.request
from pathlib import Path

import pytest

from contract.tags import Quality
from tests.plant.mqtt_brokers import mosquitto

pytest.importorskip("asyncua")
pytest.importorskip("paho.mqtt.client")

ROOT = Path(__file__).resolve().parents[2]
FLOW = ROOT / "docs" / "examples" / "node-red-flow.json"
RED = Path(os.environ.get("GASEDGE_INTEROP", ROOT / "build" / "interop")) / "node-red"
SETTINGS = 'module.exports = {{ uiHost: "127.0.0.1", uiPort: {port}, flowFile: "flow.json" }};\n'

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("node") is None or not (RED / "node_modules" / "node-red").is_dir(),
        reason="needs Node-RED: scripts/interop --part node-red installs it",
    ),
]


@contextlib.contextmanager
def node_red(plant, folder, environment):
    """Run Node-RED with the flow; gives what asks it for all three states."""
    folder.mkdir()
    port = plant.free_port()
    shutil.copy(FLOW, folder / "flow.json")
    (folder / "settings.js").write_text(SETTINGS.format(port=port))
    (folder / "package.json").write_text((RED / "package.json").read_text())
    (folder / "node_modules").symlink_to(RED / "node_modules")
    program = RED / "node_modules" / "node-red" / "red.js"
    log = folder / "node-red.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            ["node", program, "--userDir", folder, "--settings", folder / "settings.js"],
            stdout=sink,
            stderr=sink,
            env={**os.environ, **environment, "HOME": str(folder)},
        )

    def states():
        assert process.poll() is None, log.read_text()[-2000:]
        url = f"http://127.0.0.1:{port}/gasedge"
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                return json.load(answer)
        except OSError:
            return {}

    try:
        yield states, log
    finally:
        process.terminate()
        process.wait(20)


def test_three_protocols_show_the_same_state_through_a_leak_and_a_blind_camera(plant, tmp_path):
    state = {"Leak__State": 0}
    with mosquitto(tmp_path / "broker") as broker:
        top = (
            f'state_dir = "{tmp_path / "state"}"\n'
            f'[sparkplug]\ngroup = "site"\nbrokers = ["{broker.url}"]\nkeepalive_s = 2\n'
        )
        plain = 'security = "none"\n'
        with (
            plant.run(tmp_path / "g", serve=("modbus", "opcua"), top=top, extra=plain) as gateway,
            plant.speak(gateway, lambda: plant.snapshot(**state)),
        ):
            environment = {
                "GASEDGE_HOST": "127.0.0.1",
                "GASEDGE_OPCUA": f"opc.tcp://127.0.0.1:{gateway.ports['opcua']}/gasedge",
                "GASEDGE_MODBUS_PORT": str(gateway.ports["modbus"]),
                "GASEDGE_BROKER": "127.0.0.1",
                "GASEDGE_BROKER_PORT": str(broker.port),
                "GASEDGE_GROUP": "site",
                "GASEDGE_NODE": "T1",
                "GASEDGE_CAMERA": "north",
            }
            with node_red(plant, tmp_path / "red", environment) as (shown, log):
                for quality, leak, expected in (
                    (Quality.GOOD, 0, (0, True)),
                    (Quality.GOOD, 2, (2, True)),
                    (Quality.BAD, 255, (255, False)),
                    (Quality.GOOD, 0, (0, True)),
                ):
                    state |= {"quality": quality, "Leak__State": leak}
                    all_come_to_say(plant, shown, *expected)
                assert "error" not in log.read_text().lower()


def all_come_to_say(plant, shown, leak, good):
    last = {}

    def agree():
        last.update(shown())
        three = [last.get(each) for each in ("opcua", "modbus", "sparkplug")]
        return all(each and (each["state"], each["good"]) == (leak, good) for each in three)

    try:
        plant.until(agree, within_s=40)
    except AssertionError:
        raise AssertionError(f"not all came to say {leak, good}: {last}") from None
