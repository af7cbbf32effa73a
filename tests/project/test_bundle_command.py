"""`gasedge bundle` as who releases models uses it."""

from __future__ import annotations

import io
import json
import tarfile

import pytest

from contract import signing_key
from contract.bundle import MANIFEST, SIGNATURE, Bundle
from contract.errors import GasedgeError
from gasedge.cli import main
from gasedge.starter import PUBLIC_KEY, STARTER

PASSPHRASE = "correct horse battery"


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "passphrase"
    path.write_text(f"{PASSPHRASE}\nonly the first line counts\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def keys(tmp_path, secret, capsys):
    assert main(["bundle", "keygen", str(tmp_path / "keys"), *opened_by(secret)]) == 0
    capsys.readouterr()
    return tmp_path / "keys"


def opened_by(secret):
    return ["--passphrase-file", str(secret)]


def signed(bundle, keys, secret, *more):
    key = str(keys / "signing.key")
    return main(["bundle", "sign", str(bundle), "--key", key, *opened_by(secret), *more])


def test_line_from_key_to_trusted_bundle(tiny_bundle, keys, secret, capsys):
    public = str(keys / "signing.pub")
    assert main(["bundle", "verify", str(tiny_bundle), "--key", public]) == 1
    assert "none of the trusted keys" in capsys.readouterr().err
    assert signed(tiny_bundle, keys, secret, "--counter", "4") == 0
    said = capsys.readouterr().out
    assert main(["bundle", "verify", str(tiny_bundle), "--key", public, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["signed_by"] in said
    assert found["manifest"]["rollback_counter"] == 4
    assert main(["bundle", "show", str(tiny_bundle)]) == 0
    shown = capsys.readouterr().out
    assert f"says key {found['signed_by']}; not checked here" in shown
    assert found["manifest_sha256"] in shown


def test_private_key_is_encrypted_private_and_never_overwritten(keys, secret, capsys):
    key = keys / "signing.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.read_bytes().splitlines()[1] == b"-----BEGIN ENCRYPTED PRIVATE KEY-----"
    before = key.read_bytes()
    assert main(["bundle", "keygen", str(keys), *opened_by(secret)]) == 2
    assert "a key is never overwritten" in capsys.readouterr().err
    key.unlink()
    assert main(["bundle", "keygen", str(keys), *opened_by(secret)]) == 2
    assert not key.exists()
    key.write_bytes(before)


def test_wrong_open_or_missing_secrets_are_one_line(tiny_bundle, keys, secret, tmp_path, capsys):
    before = (tiny_bundle / SIGNATURE).read_bytes()
    secret.write_text("another passphrase\n")
    assert signed(tiny_bundle, keys, secret) == 2
    assert "the passphrase is wrong, or the file is damaged" in capsys.readouterr().err
    secret.write_text("short\n")
    assert main(["bundle", "keygen", str(tmp_path / "new"), *opened_by(secret)]) == 2
    assert "must have 8 characters at least" in capsys.readouterr().err
    secret.write_text("")
    assert signed(tiny_bundle, keys, secret) == 2
    assert "is empty; a passphrase is its first line" in capsys.readouterr().err
    secret.write_text(PASSPHRASE)
    secret.chmod(0o644)
    assert signed(tiny_bundle, keys, secret) == 2
    assert "others may read the passphrase" in capsys.readouterr().err
    secret.chmod(0o600)
    (keys / "signing.key").chmod(0o640)
    assert signed(tiny_bundle, keys, secret) == 2
    assert "others may read the key" in capsys.readouterr().err
    assert signed(tiny_bundle, tmp_path / "nowhere", secret) == 2
    assert "cannot be read (No such file" in capsys.readouterr().err
    assert (tiny_bundle / SIGNATURE).read_bytes() == before


def test_with_nobody_to_ask_the_passphrase_must_come_from_a_file(
    tiny_bundle, keys, capsys, monkeypatch
):
    monkeypatch.setattr("sys.stdin", io.StringIO(PASSPHRASE))
    key = str(keys / "signing.key")
    assert main(["bundle", "sign", str(tiny_bundle), "--key", key]) == 2
    assert "give --passphrase-file" in capsys.readouterr().err


def test_key_of_another_kind_is_refused(tiny_bundle, keys, secret, capsys):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    other = ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    (keys / "signing.key").write_bytes(signing_key._encrypted(other, PASSPHRASE))
    assert signed(tiny_bundle, keys, secret) == 2
    assert "is no Ed25519 key" in capsys.readouterr().err
    (keys / "signing.key").write_bytes(b"-----BEGIN PRIVATE KEY-----\n")
    assert signed(tiny_bundle, keys, secret) == 2
    assert "is no private key made by gasedge bundle keygen" in capsys.readouterr().err
    (keys / "signing.key").write_bytes(b"scrypt salt \xff\n")
    assert signed(tiny_bundle, keys, secret) == 2
    assert "or the file is damaged" in capsys.readouterr().err
    public = serialization.PublicFormat.SubjectPublicKeyInfo
    (keys / "signing.pub").write_bytes(other.public_key().public_bytes(pem, public))
    assert main(["bundle", "verify", str(tiny_bundle), "--key", str(keys / "signing.pub")]) == 2
    assert "is no Ed25519 key" in capsys.readouterr().err


def test_public_key_that_anybody_may_replace_is_refused(tiny_bundle, keys, capsys):
    public = keys / "signing.pub"
    public.chmod(0o666)
    assert main(["bundle", "verify", str(tiny_bundle), "--key", str(public)]) == 2
    assert "anybody may write the key; run: chmod o-w" in capsys.readouterr().err


def test_pair_that_the_disk_takes_by_half_leaves_nothing_in_the_way(
    tmp_path, secret, monkeypatch, capsys
):
    def full(path, data):
        raise GasedgeError(f"{path}: no space left on this disk")

    with monkeypatch.context() as patched:
        patched.setattr(signing_key, "write_bytes", full)
        assert main(["bundle", "keygen", str(tmp_path / "k"), *opened_by(secret)]) == 1
    assert main(["bundle", "keygen", str(tmp_path / "k"), *opened_by(secret)]) == 0


def test_verify_asks_as_the_device_does(tiny_bundle, keys, secret, capsys):
    config = tiny_bundle.parent / "daemon.toml"
    config.write_text(
        '[model]\nbundle = "elsewhere.gasedge"\n[trust]\nkeys = ["keys/signing.pub"]\n'
        '[[camera]]\nname = "north"\nsource = "sim:seed=1"\n[plant]\nstate_dir = "state"\n'
    )
    asked = ["bundle", "verify", str(tiny_bundle), "--config", str(config)]
    assert main(asked) == 1
    assert "none of the trusted keys" in capsys.readouterr().err
    assert signed(tiny_bundle, keys, secret) == 0
    assert main(asked) == 0
    (tiny_bundle.parent / "state").mkdir()
    (tiny_bundle.parent / "state" / "model-counter.json").write_text('{"rollback_counter": 1}')
    assert main(asked) == 1
    assert "is too old: its rollback counter is 0" in capsys.readouterr().err
    for wrong in ([], ["--key", "a", "--config", "b"], ["--config", "b", "--revoked", "c"]):
        assert main(["bundle", "verify", str(tiny_bundle), *wrong]) == 2


def test_revoked_bundle_is_refused_and_the_list_grows(tiny_bundle, keys, secret, capsys):
    assert signed(tiny_bundle, keys, secret) == 0
    public, listed = str(keys / "signing.pub"), str(keys / "revoked.json")
    sign = ["--key", str(keys / "signing.key"), *opened_by(secret)]
    asked = ["bundle", "verify", str(tiny_bundle), "--key", public, "--revoked", listed]
    assert main(["bundle", "revoke", listed, *sign, "--model", "other", "--why", "blind"]) == 0
    assert main(asked) == 0
    sha256 = Bundle.open(tiny_bundle).manifest_sha256
    assert main(["bundle", "revoke", listed, *sign, "--manifest", sha256]) == 0
    capsys.readouterr()
    assert main(asked) == 1
    assert "is revoked (manifest" in capsys.readouterr().err
    content = json.loads((keys / "revoked.json").read_text())["signed"]
    assert (content["issue"], content["models"]) == (2, {"other": "blind"})
    assert main(["bundle", "revoke", listed, *sign]) == 2
    assert "say what: --model" in capsys.readouterr().err
    assert main(["bundle", "revoke", listed, *sign, "--manifest", "12"]) == 2
    assert "'12' cannot be revoked" in capsys.readouterr().err


def test_lost_keys_list_is_carried_on_by_the_next_key(tiny_bundle, keys, secret, capsys):
    new, listed = keys / "new", str(keys / "revoked.json")
    assert main(["bundle", "keygen", str(new), *opened_by(secret)]) == 0
    lost = json_of(["bundle", "verify", str(sign_again(tiny_bundle, keys, secret)), "--key",
                    str(keys / "signing.pub"), "--json"], capsys)["signed_by"]  # fmt: skip
    old_key = ["--key", str(keys / "signing.key"), *opened_by(secret)]
    new_key = ["--key", str(new / "signing.key"), *opened_by(secret)]
    assert main(["bundle", "revoke", listed, *old_key, "--model", "other"]) == 0
    assert main(["bundle", "revoke", listed, *new_key, "--revoke-key", lost]) == 1
    assert "none of the trusted keys" in capsys.readouterr().err
    previous = ["--previous", str(keys / "signing.pub")]
    assert main(["bundle", "revoke", listed, *new_key, *previous, "--revoke-key", lost]) == 0
    both = ["--key", str(keys / "signing.pub"), "--key", str(new / "signing.pub")]
    assert main(["bundle", "verify", str(tiny_bundle), *both, "--revoked", listed]) == 1
    assert f"is signed by key {lost}, which is revoked" in capsys.readouterr().err


def sign_again(bundle, keys, secret):
    assert signed(bundle, keys, secret) == 0
    return bundle


def json_of(words, capsys):
    capsys.readouterr()
    assert main(words) == 0
    return json.loads(capsys.readouterr().out)


def test_packed_bundle_begins_with_its_signature_and_is_the_same_each_time(tiny_bundle, capsys):
    out = tiny_bundle.parent / "tiny.gasedge.tar"
    assert main(["bundle", "pack", str(tiny_bundle)]) == 0
    with tarfile.open(out) as tar:
        members = tar.getmembers()
        assert [m.name for m in members[:2]] == [SIGNATURE, MANIFEST]
        assert {m.name for m in members[2:]} == set(Bundle.open(tiny_bundle).manifest.files)
        assert all(m.isreg() and (m.uid, m.mtime, m.mode) == (0, 0, 0o644) for m in members)
        for member in members:
            assert tar.extractfile(member).read() == (tiny_bundle / member.name).read_bytes()
    again = tiny_bundle.parent / "again.gasedge.tar"
    assert main(["bundle", "pack", str(tiny_bundle), str(again)]) == 0
    assert again.read_bytes() == out.read_bytes()
    capsys.readouterr()
    assert main(["bundle", "pack", str(tiny_bundle)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert main(["bundle", "pack", str(tiny_bundle), str(out.with_suffix(".zip"))]) == 2
    assert "ends in .gasedge.tar" in capsys.readouterr().err


def test_what_is_unsigned_or_damaged_is_not_packed(tiny_bundle, capsys):
    graph = tiny_bundle / "model.fp32.onnx"
    whole = graph.read_bytes()
    graph.write_bytes(whole[:-1] + b"\0")
    out = tiny_bundle.parent / "tiny.gasedge.tar"
    assert main(["bundle", "pack", str(tiny_bundle)]) == 1
    graph.write_bytes(whole)
    (tiny_bundle / SIGNATURE).unlink()
    assert main(["bundle", "pack", str(tiny_bundle)]) == 1
    assert "is not signed" in capsys.readouterr().err
    assert not out.exists()
    assert not list(tiny_bundle.parent.glob(".partial-*"))


def test_wrong_paths_are_one_line(tmp_path, keys, secret, capsys):
    (tmp_path / "empty.gasedge").mkdir()
    for words in (
        ["bundle", "show", str(tmp_path / "none.gasedge")],
        ["bundle", "show", str(tmp_path / "empty.gasedge")],
        ["bundle", "verify", str(secret), "--key", str(keys / "signing.pub")],
        ["bundle", "pack", str(tmp_path / "none.gasedge")],
        ["bundle", "keygen", str(secret), *opened_by(secret)],
    ):
        assert main(words) in (1, 2)
        said = capsys.readouterr().err
        assert said.startswith("gasedge: ")
        assert said.count("\n") == 1
        assert "unexpected" not in said


def test_starter_is_signed_and_its_copy_too(tmp_path, capsys):
    assert main(["bundle", "verify", str(STARTER), "--key", str(PUBLIC_KEY)]) == 0
    out = tmp_path / "mine.gasedge"
    assert main(["starter", str(out)]) == 0
    key = tmp_path / "mine.pub"
    assert main(["bundle", "verify", str(out), "--key", str(key)]) == 0
    key.write_bytes(b"another key")
    assert main(["starter", str(tmp_path / "mine.gasedge")]) == 1
    assert "is there already and is another key" in capsys.readouterr().err
