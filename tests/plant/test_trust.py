"""Who may enter: enrolling clients, keeping those that knocked, renewing the device's own."""

from __future__ import annotations

import datetime as dt
import os

import pytest
from click.testing import CliRunner

from contract.errors import ConfigError, InputError
from edge_runtime.plant.device_certificate import current_certificate, device_certificate
from edge_runtime.plant.trust import keep_rejected, read_certificate, trusted_certificates
from gasedge.cli import main
from gasedge.commands.trust import command

pytest.importorskip("asyncua")

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID


def made(name="scada", *, key=None, ends=dt.timedelta(days=100)):
    now = dt.datetime.now(dt.timezone.utc)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    uri = x509.SubjectAlternativeName([x509.UniformResourceIdentifier("urn:scada")])
    builder = x509.CertificateBuilder(subject_name=subject, issuer_name=subject)
    builder = builder.public_key((key or KEY).public_key()).serial_number(1)
    builder = builder.not_valid_before(now - dt.timedelta(days=9)).not_valid_after(now + ends)
    return builder.add_extension(uri, critical=False).sign(key or KEY, hashes.SHA256())


KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def run(*arguments, answer=None):
    return CliRunner().invoke(command, [str(each) for each in arguments], input=answer)


def test_a_client_is_enrolled_once_its_fingerprint_was_compared(tmp_path):
    folder, cert = tmp_path / "trusted", tmp_path / "client.pem"
    cert.write_bytes(made().public_bytes(Encoding.PEM))
    refused = run("add", folder, cert, answer="n\n")
    assert refused.exit_code == 1
    assert not folder.exists()
    done = run("add", folder, cert, answer="y\n")
    assert done.exit_code == 0, done.output
    read = read_certificate(cert.read_bytes())
    assert ":".join(read.fingerprint[:6][i : i + 2] for i in (0, 2, 4)) in done.output
    assert "urn:scada" in done.output
    assert [each.der for each in trusted_certificates(folder).values()] == [read.der]
    listed = run("list", folder)
    assert "CN=scada" in listed.output
    assert f"{read.valid_until:%Y-%m-%d}" in listed.output
    gone = run("remove", folder, read.thumbprint[:8].lower())
    assert gone.exit_code == 0
    assert trusted_certificates(folder) == {}


def test_what_cannot_be_trusted_is_refused_in_one_line(tmp_path, capsys):
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    for name, data, word in (
        ("old.der", made(ends=dt.timedelta(days=-1)).public_bytes(Encoding.DER), "valid from"),
        ("small.der", made(key=small).public_bytes(Encoding.DER), "1024 bits"),
        ("nonsense.der", b"no certificate", "not a certificate"),
        ("huge.der", bytes(20_000), "bytes"),
    ):
        path = tmp_path / name
        path.write_bytes(data)
        code = main(["trust", "add", str(tmp_path / "trusted"), str(path), "--yes"])
        said = capsys.readouterr()
        assert code in (1, 2), name
        assert word in said.err
        assert said.err.count("\n") == 1
    assert main(["trust", "add", str(tmp_path / "trusted"), str(tmp_path / "none")]) == 1
    assert main(["trust", "list", str(tmp_path / "nowhere")]) == 2
    assert not (tmp_path / "trusted").exists()


def test_removing_takes_a_fingerprint_that_fits_one_certificate(tmp_path):
    for number in range(17):  # of 16 digits, two must share their first
        path = tmp_path / f"{number}.der"
        path.write_bytes(made(f"client{number}").public_bytes(Encoding.DER))
    digits = [each.fingerprint[0] for each in trusted_certificates(tmp_path).values()]
    shared = next(each for each in digits if digits.count(each) > 1)
    for wrong in ("", "zz", shared):
        failed = run("remove", tmp_path, wrong)
        assert isinstance(failed.exception, ConfigError)
    assert len(trusted_certificates(tmp_path)) == 17


def test_of_those_that_knocked_the_newest_are_kept_and_no_more(tmp_path):
    folder = tmp_path / "rejected"
    for number in range(40):
        keep_rejected(folder, b"certificate %d" % number)
        newest = max(folder.iterdir(), key=lambda each: each.stat().st_mtime_ns)
        os.utime(newest, (number, number))
    kept = {each.read_bytes() for each in folder.iterdir()}
    assert len(kept) == 32
    assert b"certificate 39" in kept
    assert b"certificate 0" not in kept
    keep_rejected(folder, bytes(20_000))
    assert len(list(folder.iterdir())) == 32


def test_a_renewed_certificate_has_the_old_key_and_name_and_lasts(tmp_path):
    folder = tmp_path / "state"
    with pytest.raises(ConfigError, match="first start"):
        current_certificate(folder)
    certificate, key = device_certificate(folder, "urn:gasedge:device:7")
    old, secret = certificate.read_bytes(), key.read_bytes()
    assert current_certificate(folder).der == old
    done = run("renew", folder)
    assert done.exit_code == 0, done.output
    new = certificate.read_bytes()
    assert new != old
    assert key.read_bytes() == secret
    assert (folder / "opcua.der.old").read_bytes() == old
    assert read_certificate(new).uris == ("urn:gasedge:device:7",)
    assert read_certificate(new).valid_until > dt.datetime.now(dt.timezone.utc)
    assert device_certificate(folder, "urn:gasedge:device:7") == (certificate, key)


def test_a_strangers_words_cannot_move_the_terminals_cursor(tmp_path):
    (tmp_path / "x.der").write_bytes(made("a\x1b[2Jb").public_bytes(Encoding.DER))
    assert "\x1b" not in run("list", tmp_path).output


def test_no_bytes_make_reading_a_certificate_fail_otherwise(tmp_path):
    whole = made().public_bytes(Encoding.DER)
    for place in range(0, len(whole), 7):
        broken = whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]
        try:
            read_certificate(broken)
        except InputError:
            continue
