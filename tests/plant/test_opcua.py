"""OPC UA read by a client of another make (node-opcua)."""

from __future__ import annotations

import base64
import datetime as dt
import json
import time

import pytest
from click.testing import CliRunner

from contract.tags import TAGS, Quality, TagType
from gasedge.commands.trust import command as trust_command
from tests.plant.node_opcua import Client

pytest.importorskip("asyncua")

NAMES = [tag.name for tag in TAGS]


def ids(camera, names=NAMES):
    return [f"ns=2;s={camera}.{name.replace('/', '.')}" for name in names]


def as_read(tag, value):
    """A value as the node client prints it."""
    if tag.type is TagType.TIME:
        time = dt.datetime.fromtimestamp(value / 1e9, dt.timezone.utc)
        return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if tag.type is TagType.BYTES:
        return {"base64": base64.b64encode(value).decode()}
    if tag.type is TagType.BOX:
        return list(value)
    if tag.type is TagType.U64:
        return [value >> 32, value & 0xFFFFFFFF]
    return value


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    client = Client.made(tmp_path_factory.mktemp("client"), "scada", "correct horse battery")
    yield client
    client.close()


@pytest.fixture(scope="module")
def gateway(plant, tmp_path_factory):
    """One gateway for the module: building an OPC UA address space takes seconds."""
    with plant.run(tmp_path_factory.mktemp("gateway"), serve=("opcua",)) as running:
        yield running


@pytest.fixture
def served(gateway, node):
    node.endpoint = endpoint(gateway)
    return gateway, node


def shows(client, status):
    state = ids("north")[0]
    return client("read", state)[state]["status"] == status


def endpoint(gateway):
    return f"opc.tcp://127.0.0.1:{gateway.ports['opcua']}/gasedge"


@pytest.mark.parametrize("policy", ["Basic256Sha256", "Aes256_Sha256_RsaPss"])
def test_every_tag_arrives_with_value_quality_and_source_time(plant, served, policy):
    gateway, client = served
    taken = {}

    def numbered():
        made = plant.snapshot(Frame__Seq=2**40 + len(taken))
        taken[made.values["Frame/Seq"]] = made.source_time_ns
        return made

    with plant.speak(gateway, numbered):
        plant.until(lambda: shows(client, "Good"))

        def of_now():  # a frame of the test before is good for a while
            read = client("read", *ids("north"), policy=policy)
            high, low = read["ns=2;s=north.Frame.Seq"]["value"]
            seq = (high << 32) + low
            return (read, seq) if seq in taken else None

        read, seq = plant.until(of_now)
    sent = {**plant.snapshot().values, "Frame/Seq": seq}
    derived = {
        "Leak/Active": True,
        "Leak/Suspect": False,
        "Health/Fault": False,
        "Health/Maintenance": False,
        "Health/DataGood": True,
        "Health/Quality": 0,
        "Health/Heartbeat": 7,
    }
    for tag, node in zip(TAGS, ids("north"), strict=True):
        found = read[node]
        assert found["status"] == "Good", tag.name
        if tag.name == "Frame/AgeMs":
            assert 0 <= found["value"] < 500
            continue
        if tag.own:  # the gateway's word, which no snapshot brings
            assert found["value"] is None or found["type"] == tag.type.opc_ua
            continue
        assert found["value"] == as_read(tag, {**sent, **derived}[tag.name]), tag.name
        assert found["type"] == tag.type.opc_ua.removesuffix("[4]"), tag.name
        if not tag.name.startswith("Health/"):
            source = dt.datetime.fromisoformat(found["source"].replace("Z", "+00:00"))
            assert abs(source.timestamp() - taken[seq] / 1e9) < 0.002, tag.name
            assert found["source"] <= found["server"]
    silent = client("read", *ids("south", ["Leak/State", "Health/DataGood", "Health/NE107"]))
    state, data_good, ne107 = silent.values()
    assert state["status"] == "BadNoCommunication"
    assert state["value"] is None
    assert (data_good["value"], data_good["status"]) == (False, "Good")
    assert ne107["value"] == 1


def test_silence_turns_values_stale_then_bad_without_any_further_message(plant, served):
    gateway, client = served
    plant.until(lambda: shows(client, "BadNoCommunication"))  # what spoke before is forgotten
    gateway.forget()
    watched = ids("north", ["Leak/State", "Health/DataGood", "Health/Quality"])
    client.start("watch", *watched)
    assert client.answer() == {"watching": True}
    with plant.speak(gateway, lambda: plant.snapshot(Leak__State=0)):
        plant.until(lambda: gateway.said("north: quality is GOOD"))
    plant.until(lambda: gateway.said("north: quality is BAD"))
    time.sleep(0.3)  # for the last notification to cross the wire
    client.process.stdin.write("\n")
    client.process.stdin.flush()
    changes = client.answer()["changes"]
    state = [(c["value"], c["status"]) for c in changes if c["nodeId"] == watched[0]]
    order = [status for _, status in state]
    assert order[-3:] == ["Good", "UncertainLastUsableValue", "BadNoCommunication"]
    assert state[-1][0] is None
    assert [c["value"] for c in changes if c["nodeId"] == watched[1]][-1] is False
    assert [c["value"] for c in changes if c["nodeId"] == watched[2]][-3:] == [0, 2, 3]


def test_uncertain_quality_keeps_the_value_and_says_so(plant, served):
    gateway, client = served
    with plant.speak(gateway, lambda: plant.snapshot(quality=Quality.UNCERTAIN, Health__Code=2048)):
        plant.until(lambda: shows(client, "UncertainSensorNotAccurate"))
        state, code = client("read", *ids("north", ["Leak/State", "Health/Code"])).values()
    assert (state["value"], state["status"]) == (2, "UncertainSensorNotAccurate")
    assert code["value"] & 0xFFFF == 2048  # what the desk adds is above


def test_an_ended_leak_leaves_no_old_onset_and_no_old_box_behind(plant, served):
    gateway, client = served
    fleeting = ids("north", ["Leak/OnsetTime", "Leak/BBox"])
    with plant.speak(gateway, plant.snapshot):
        plant.until(lambda: all(client("read", *fleeting)[n]["value"] for n in fleeting))
    ended = {"Leak__State": 0, "Leak__OnsetTime": None, "Leak__BBox": None}
    with plant.speak(gateway, lambda: plant.snapshot(**ended)):
        plant.until(
            lambda: all(
                (found["value"], found["status"]) == (None, "Good")
                for found in client("read", *fleeting).values()
            )
        )
    assert "refused" not in gateway.log.read_text()


def test_nobody_enters_without_the_password_or_without_encryption(plant, served):
    gateway, client = served
    state = ids("north")[0]
    wrong = client("read", state, password="wrong password")
    assert "BadUserAccessDenied" in wrong["error"]
    assert "error" in client("read", state, user="admin", password="admin")
    assert "error" in client("read", state, user="", password="")
    for policy, mode in (("None", "None"), ("Basic256Sha256", "Sign")):
        refused = client("read", state, policy=policy, mode=mode)
        assert "error" in refused, (policy, mode)
    assert state in client("read", state)
    assert "turned away" in gateway.log.read_text()


def test_a_write_is_refused_and_changes_nothing(plant, served):
    gateway, client = served
    with plant.speak(gateway):
        plant.until(lambda: shows(client, "Good"))
        refused = client("write", ids("north")[0])
        assert "BadUserAccessDenied" in json.dumps(refused)
        assert client("read", ids("north")[0])[ids("north")[0]]["value"] == 2


def test_tree_has_the_device_its_cameras_and_their_groups(served):
    _, client = served
    found = client("browse", "ObjectsFolder", "ns=2;s=/Cameras", "ns=2;s=/Cameras/north/Leak")
    assert "ns=2;s=/" in found["ObjectsFolder"]
    assert {"ns=2;s=/Cameras/north", "ns=2;s=/Cameras/south"} <= set(found["ns=2;s=/Cameras"])
    assert "ns=2;s=north.Leak.State" in found["ns=2;s=/Cameras/north/Leak"]


def test_second_boot_has_the_same_certificate_and_only_trusted_clients_enter(
    plant, tmp_path, gateway, node
):
    state = gateway.folder / "state"
    before = (state / "opcua.der").read_bytes()
    assert (state / "opcua-key.pem").stat().st_mode & 0o777 == 0o600
    folder = tmp_path / "g"
    trusted = folder / "trusted"
    trusted.mkdir(parents=True)
    users = plant.users_file(folder)
    extra = f'users = "{users}"\nstate_dir = "{state}"\ntrusted = "{trusted}"\n'
    with plant.run(folder, serve=("opcua",), extra=extra) as second:
        assert (state / "opcua.der").read_bytes() == before
        node.endpoint = endpoint(second)
        assert "error" in node("read", ids("north")[0])
        assert second.said("untrusted client was turned away")
        (knocked,) = (state / "rejected").iterdir()
        enrol = ["add", str(trusted), str(knocked), "--yes"]
        assert CliRunner().invoke(trust_command, enrol).exit_code == 0
        assert "error" not in node("read", ids("north")[0])
