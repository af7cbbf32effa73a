"""What the settings allow: nothing listens unasked, and nothing lets strangers in."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from unittest import mock

import pytest
from click.testing import CliRunner

from contract.config import load_config
from contract.errors import ConfigError
from contract.roles import Role
from edge_runtime.plant.config import PlantConfig
from edge_runtime.plant.device_certificate import device_certificate
from edge_runtime.plant.gateway import run_gateway
from edge_runtime.plant.users import Users, add_user, remove_user
from gasedge.commands.user import command as user_command


def load(tmp_path, text):
    path = tmp_path / "plant.toml"
    path.write_text(text)
    return load_config(path, PlantConfig)


def test_nothing_listens_unless_its_table_is_there(tmp_path):
    config = load(tmp_path, "")
    assert (config.opcua, config.modbus, config.page) == (None, None, None)
    assert (config.evidence, config.syslog) == (None, None)
    assert (config.stale_after_s, config.bad_after_s) == (0.5, 1.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[page]\nhost = "0.0.0.0"', "users is missing"),
        ('[page]\nhost = "plant.example"', "users is missing"),
        ('[page]\nhost = "10.0.0.5"\nusers = "u"\ntls = false', "in the clear"),
        ('[page]\nhost = "10.0.0.5"\nusers = "u"', "state_dir"),
        ("[page]\ntls = true", "state_dir"),
        ('[page]\ncertificate = "c"', "belong together"),
        ('[page]\ncertificate = "c"\nkey = "k"', "without tls"),
        ('[evidence]\nfolder = "e"', "state_dir"),
        ('state_dir = "s"\n[evidence]', "folder is missing"),
        ("[opcua]", "gasedge user add"),
        ('[opcua]\nsecurity = "none"\nhost = "0.0.0.0"', "loopback"),
        ('[opcua]\nsecurity = "none"\nusers = "u"', "no effect"),
        ("stale_after_s = 3.0", "stale before they are bad"),
        ("[modbus]\nprt = 1", "did you mean port"),
        ("[modbus]\nport = 70000", "65535"),
    ],
)
def test_a_setting_that_opens_a_door_is_refused_with_what_to_do(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, text)


@pytest.mark.parametrize(
    "cameras", [[], ["a", "a"], ["a b"], ["../a"], [f"c{n}" for n in range(17)]]
)
def test_cameras_that_cannot_be_published_are_refused(tmp_path, cameras):
    with pytest.raises(ConfigError, match="different names"):
        run_gateway(PlantConfig(), cameras, tmp_path / "link" / "s")


def test_a_taken_port_is_one_line_that_names_it(plant, tmp_path):
    with plant.run(tmp_path / "g") as gateway:
        port = gateway.ports["modbus"]
        code = (
            "import sys; from pathlib import Path\n"
            "from edge_runtime.plant.config import *\n"
            "from edge_runtime.plant.gateway import run_gateway\n"
            "from contract.errors import ConfigError\n"
            f"config = PlantConfig(modbus=ModbusConfig(port={port}))\n"
            f"path = Path({str(tmp_path / 'g2' / 's')!r})\n"
            "try: run_gateway(config, ['north'], path)\n"
            "except ConfigError as error: print(error)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
        )
    assert f"127.0.0.1:{port}" in done.stdout
    assert done.stdout.count("\n") == 1


def test_passwords_are_kept_as_salted_hashes_in_a_private_file(tmp_path):
    path = tmp_path / "users"
    result = CliRunner().invoke(
        user_command, ["add", str(path), "operator", "--password", "long enough 1"]
    )
    assert result.exit_code == 0
    add_user(path, "second", "long enough 1")
    text = path.read_text()
    assert "long enough" not in text
    hashes = [line.split(":")[3] for line in text.splitlines()]
    assert len(set(hashes)) == 2
    assert path.stat().st_mode & 0o777 == 0o600
    assert Users(path).log_in("operator", "long enough 1") is Role.VIEWER
    assert Users(path).log_in("operator", "long enough 2") is None
    assert Users(path).log_in("nobody", "") is None
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        Users(path)


def test_a_short_password_or_a_strange_name_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="10 to 256"):
        add_user(tmp_path / "users", "operator", "short")
    with pytest.raises(ConfigError, match="user name"):
        add_user(tmp_path / "users", "a:b", "long enough 1")
    assert not (tmp_path / "users").exists()


def test_guessing_is_paused_after_five_failures_and_only_for_that_name(tmp_path):
    add_user(tmp_path / "users", "operator", "long enough 1", Role.OPERATOR)
    add_user(tmp_path / "users", "second", "long enough 2")
    now = 0.0
    users = Users(tmp_path / "users", clock=lambda: now)
    for _ in range(5):
        assert users.log_in("operator", "a guess that is wrong") is None
    assert users.log_in("operator", "long enough 1") is None
    assert users.log_in("second", "long enough 2") is Role.VIEWER
    now = 10.5
    assert users.log_in("operator", "long enough 1") is Role.OPERATOR


def test_a_stranger_cannot_tell_by_the_time_an_answer_takes_which_names_there_are(tmp_path):
    """Names that there are and names that there are not take the same work and the same pauses."""
    add_user(tmp_path / "users", "operator", "long enough 1", Role.OPERATOR)

    def hashes(*names):
        users = Users(tmp_path / "users", clock=lambda: 0.0)
        with mock.patch("hashlib.scrypt", wraps=hashlib.scrypt) as hashed:
            for name in names:
                assert users.log_in(name, "a guess that is wrong") is None
        return hashed.call_count

    assert hashes(*(f"nobody{number}" for number in range(6))) == 6
    assert hashes(*["nobody"] * 7) == hashes(*["operator"] * 7) == 5


def test_who_guesses_from_elsewhere_locks_nobody_out(tmp_path):
    add_user(tmp_path / "users", "operator", "long enough 1", Role.OPERATOR)
    users = Users(tmp_path / "users", clock=lambda: 0.0)
    for _ in range(7):
        assert users.log_in("operator", "a guess that is wrong", "opcua 10.6.6.6") is None
    assert users.log_in("operator", "long enough 1", "opcua 10.6.6.6") is None
    assert users.log_in("operator", "long enough 1", "opcua 10.0.0.1") is Role.OPERATOR


def test_roles_stand_in_the_file_and_a_line_without_one_is_a_viewer(tmp_path):
    path = tmp_path / "users"
    run = CliRunner().invoke

    def add(name, *more):
        return run(user_command, ["add", str(path), name, "--password", "long enough 1", *more])

    assert add("operator1", "--role", "operator").output == f"operator operator1 stands in {path}\n"
    assert add("viewer1").output.startswith("viewer viewer1")
    assert add("operator1").output.startswith("operator operator1"), "a new password keeps the role"
    assert add("operator1", "--role", "engineer").exit_code == 0
    assert add("user1", "--role", "admin").exit_code == 2
    path.write_text(path.read_text().replace(":viewer", ""))  # as older versions wrote it
    listed = run(user_command, ["list", str(path)]).output
    assert listed == "engineer  operator1\nviewer    viewer1\n"
    users = Users(path)
    assert users.log_in("viewer1", "long enough 1") is Role.VIEWER
    assert (users.role("operator1"), users.role("nobody")) == (Role.ENGINEER, None)
    assert run(user_command, ["remove", str(path), "operator1"]).exit_code == 0
    assert users.role("operator1") is None
    with pytest.raises(ConfigError, match="holds no user 'operator1', but viewer1"):
        remove_user(path, "operator1")
    path.write_text(path.read_text().strip() + ":admin\n")
    with pytest.raises(ConfigError, match="users:1"):
        users.role("viewer1")


def test_a_damaged_or_foreign_key_is_named(tmp_path):
    pytest.importorskip("asyncua")
    folder = tmp_path / "state"
    certificate, key = device_certificate(folder, "urn:gasedge:device:1")
    assert key.stat().st_mode & 0o777 == 0o600
    whole = key.read_bytes()
    key.write_bytes(whole[:100])
    with pytest.raises(ConfigError, match="damaged"):
        device_certificate(folder, "urn:gasedge:device:1")
    key.write_bytes(whole)
    key.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        device_certificate(folder, "urn:gasedge:device:1")
    assert certificate.exists()
