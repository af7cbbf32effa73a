"""Modbus over TLS: only trusted certificates read, and half a handshake holds nobody up."""

from __future__ import annotations

import datetime as dt
import shutil
import socket
import ssl
import subprocess

import pytest

from contract.errors import ConfigError
from contract.tags import MAP_VERSION
from edge_runtime.plant.config import ModbusTlsConfig
from edge_runtime.plant.modbus_tls import ModbusTrust

x509 = pytest.importorskip("cryptography.x509")
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402


def make(folder, name, issuer=None, *, days=365):
    """A certificate and its key as NAME.pem and NAME-key.pem, signed by itself or by `issuer`."""
    key = ec.generate_private_key(ec.SECP256R1())
    own = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    signer, by = (key, own) if issuer is None else issuer
    now = dt.datetime.now(dt.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(own)
        .issuer_name(by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=name == "authority", path_length=None), True)  # noqa: FBT003
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)  # noqa: FBT003
        .sign(signer, hashes.SHA256())
    )
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    path = folder / f"{name}-key.pem"
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return key, own


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Device, an authority with a client of its own, a client by itself, and a stranger."""
    folder = tmp_path_factory.mktemp("keys")
    authority = make(folder, "authority")
    make(folder, "device")
    make(folder, "member", authority)
    make(folder, "single")
    make(folder, "stranger")
    trusted = folder / "trusted"
    trusted.mkdir()
    shutil.copy(folder / "authority.pem", trusted)
    single = x509.load_pem_x509_certificate((folder / "single.pem").read_bytes())
    (trusted / "single.der").write_bytes(single.public_bytes(serialization.Encoding.DER))
    (trusted / "notes.txt").write_text("not a certificate")
    return folder


@pytest.fixture(scope="module")
def gateway(plant, keys, tmp_path_factory):
    table = (
        f'certificate = "{keys / "device.pem"}"\nkey = "{keys / "device-key.pem"}"\n'
        f'trusted = "{keys / "trusted"}"\n'
    )
    more = {"modbus": "max_clients = 4\nidle_s = 2\n", "modbus.tls": table}
    folder = tmp_path_factory.mktemp("gateway")
    with plant.run(folder, serve=("modbus", "modbus.tls"), more=more) as running:
        yield running


def context(keys, name=None):
    settings = ssl.create_default_context(cafile=keys / "device.pem")
    if name:
        settings.load_cert_chain(keys / f"{name}.pem", keys / f"{name}-key.pem")
    return settings


def version(gateway, settings):
    """The map's version, read over TLS."""
    port = gateway.ports["modbus.tls"]
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
        settings.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(bytes.fromhex("0001 0000 0006 01 04 0000 0001"))
        data = connection.recv(100)  # TLS 1.3 tells a client that it is refused only now
        if not data:
            raise ConnectionResetError
        return int.from_bytes(data[-2:], "big")


@pytest.mark.parametrize("name", ["member", "single"])
def test_a_client_of_a_trusted_authority_or_trusted_itself_reads(gateway, keys, name):
    assert version(gateway, context(keys, name)) == MAP_VERSION


@pytest.mark.parametrize("name", ["stranger", None])
def test_a_client_without_a_trusted_certificate_reads_nothing(gateway, keys, name):
    gateway.forget()
    with pytest.raises((ssl.SSLError, ConnectionError)):
        version(gateway, context(keys, name))


def test_plain_modbus_is_not_answered_there(gateway):
    with socket.create_connection(("127.0.0.1", gateway.ports["modbus.tls"]), timeout=8) as plain:
        plain.sendall(bytes.fromhex("0001 0000 0006 01 04 0000 0001"))
        assert plain.recv(100)[:1] != b"\x00"  # an alert of TLS or nothing, no answer


def test_a_client_of_another_make_reads_over_tls(gateway, keys):
    client_module = pytest.importorskip("pymodbus.client")
    settings = context(keys, "member")
    settings.check_hostname = False  # it gives TLS no name to compare
    port = gateway.ports["modbus.tls"]
    client = client_module.ModbusTlsClient("localhost", port=port, sslctx=settings)
    assert client.connect()
    try:
        assert client.read_input_registers(0, count=1, device_id=1).registers == [MAP_VERSION]
    finally:
        client.close()


def test_openssl_enters_by_tls_1_2(gateway, keys):
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    done = subprocess.run(
        [
            *("openssl", "s_client", "-connect", f"127.0.0.1:{gateway.ports['modbus.tls']}"),
            *("-cert", keys / "member.pem", "-key", keys / "member-key.pem"),
            *("-CAfile", keys / "device.pem", "-tls1_2"),
        ],
        input="",
        capture_output=True,
        text=True,
        timeout=10,
    )
    assert "Verify return code: 0 (ok)" in done.stdout, done.stdout + done.stderr
    assert "Protocol  : TLSv1.2" in done.stdout


def test_what_is_taken_out_of_the_folder_counts_from_the_next_connection(gateway, keys):
    assert version(gateway, context(keys, "single")) == MAP_VERSION
    trusted = keys / "trusted" / "single.der"
    kept = trusted.read_bytes()
    trusted.unlink()
    try:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            version(gateway, context(keys, "single"))
        assert version(gateway, context(keys, "member")) == MAP_VERSION
    finally:
        trusted.write_bytes(kept)
    assert version(gateway, context(keys, "single")) == MAP_VERSION


def test_handshakes_that_never_end_take_no_more_than_the_places_and_make_room(plant, gateway, keys):
    address = ("127.0.0.1", gateway.ports["modbus.tls"])
    silent = [socket.create_connection(address, timeout=5) for _ in range(30)]
    try:
        plant.until(lambda: entered(gateway, keys), within_s=4)
    finally:
        for each in silent:
            each.close()


def entered(gateway, keys):
    try:
        return version(gateway, context(keys, "member")) == MAP_VERSION
    except OSError:
        return False


def test_a_client_that_asks_nothing_is_dropped_after_the_limit(plant, gateway, keys):
    address = ("127.0.0.1", gateway.ports["modbus"])
    plant.until(lambda: entered(gateway, keys))  # the test before may hold all places for a moment
    with socket.create_connection(address, timeout=6) as idle:
        idle.sendall(b"\x00\x01\x00")  # half a request is no request
        assert idle.recv(10) == b""


def trust(keys, **changed):
    named = {"certificate": "device.pem", "key": "device-key.pem", "trusted": "trusted", **changed}
    return ModbusTlsConfig(**{name: keys / file for name, file in named.items()})


def test_a_key_that_is_not_the_certificates_or_open_to_others_is_refused(keys, tmp_path):
    ModbusTrust(trust(keys))
    with pytest.raises(ConfigError, match=r"device\.pem: cannot be used"):
        ModbusTrust(trust(keys, key="member-key.pem"))
    with pytest.raises(ConfigError, match="nothing"):
        ModbusTrust(trust(keys, trusted="nothing"))
    with pytest.raises(ConfigError, match=r"member-key\.pem: cannot be used"):
        ModbusTrust(trust(keys, trusted="member-key.pem"))
    shared = tmp_path / "shared-key.pem"
    shared.write_bytes((keys / "device-key.pem").read_bytes())
    shared.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        ModbusTrust(trust(keys, key=shared))


def test_strangers_who_fail_in_turns_do_not_fill_the_log(keys, caplog):
    door = ModbusTrust(trust(keys))
    for _ in range(100):
        for reason in ("no shared cipher", "certificate required"):
            door.turned_away(ConnectionError(reason))
    told = [each.getMessage() for each in caplog.records]
    assert any("no shared cipher" in each for each in told)
    assert len(told) <= 40  # 20 a minute, and a minute may end meanwhile


def test_nobody_is_trusted_by_an_empty_folder(keys, tmp_path):
    with pytest.raises(ConfigError, match="holds no certificate"):
        ModbusTrust(trust(keys, trusted=tmp_path))
