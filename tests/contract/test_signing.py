"""Nothing that a trusted key did not sign, byte for byte, is taken for a model."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contract import signing
from contract.bundle import MANIFEST, SIGNATURE, Bundle, create_bundle, graph_name
from contract.errors import ConfigError, GasedgeError, InputError, IntegrityError
from contract.manifest import Manifest
from contract.precision import Precision
from contract.signing import Revoked, Trust, key_id, raw_public, sign_bundle, trusted_bundle
from tests.contract.test_bundle import FIELDS, FILES, cut_off
from tests.signing import KEY, TRUST, put_public_key

OTHER = Ed25519PrivateKey.generate()
ID = key_id(raw_public(KEY))
UNTRUSTED = r"changed since it was signed, or is signed by none of the trusted keys \(" + ID


@pytest.fixture
def bundle(tmp_path):
    return sign_bundle(create_bundle(tmp_path / "m.gasedge", FILES, **FIELDS), KEY, counter=3)


@pytest.fixture
def parsed(monkeypatch):
    """Manifests that reached the parser."""
    seen = []
    parse = Manifest.model_validate_json

    def watched(data, **options):
        seen.append(data)
        return parse(data, **options)

    monkeypatch.setattr(Manifest, "model_validate_json", watched)
    return seen


def refused(bundle, said, trust=TRUST):
    with pytest.raises(IntegrityError, match=said) as error:
        trusted_bundle(bundle.path, trust)
    assert "\n" not in str(error.value)


def test_signed_bundle_is_opened_and_names_its_key_and_counter(bundle):
    found = trusted_bundle(bundle.path, TRUST)
    found.verify()
    assert found == bundle
    assert found.signed_by == found.manifest.signing_key == ID
    assert found.manifest.rollback_counter == 3
    assert Bundle.open(bundle.path).signed_by is None


def test_any_of_several_keys_may_have_signed(bundle):
    assert trusted_bundle(bundle.path, Trust((raw_public(OTHER), *TRUST.keys))).signed_by == ID
    refused(bundle, r"none of the trusted keys", Trust((raw_public(OTHER),)))
    with pytest.raises(ConfigError, match="no public key is configured"):
        trusted_bundle(bundle.path, Trust(()))


def test_openssl_accepts_the_signature(bundle, tmp_path):
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl here")
    words = ["pkeyutl", "-verify", "-pubin", "-inkey", str(put_public_key(tmp_path)), "-rawin"]
    files = ["-in", MANIFEST, "-sigfile", SIGNATURE]
    done = subprocess.run([openssl, *words, *files], cwd=bundle.path, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_unsigned_bundle_is_refused_unparsed(bundle, parsed):
    (bundle.path / SIGNATURE).unlink()
    refused(bundle, r"is not signed \(no manifest.sig\); who made it signs it: gasedge bundle sign")
    assert parsed == []


@pytest.mark.parametrize("place", [0, 300, -2])
def test_one_changed_byte_of_the_manifest_is_refused_unparsed(bundle, parsed, place):
    data = bytearray((bundle.path / MANIFEST).read_bytes())
    data[place] ^= 1
    (bundle.path / MANIFEST).write_bytes(bytes(data))
    refused(bundle, UNTRUSTED)
    assert parsed == []


@pytest.mark.parametrize("place", range(0, 64, 9))
def test_one_changed_byte_of_the_signature_is_refused_unparsed(bundle, parsed, place):
    data = bytearray((bundle.path / SIGNATURE).read_bytes())
    data[place] ^= 0x40
    (bundle.path / SIGNATURE).write_bytes(bytes(data))
    refused(bundle, UNTRUSTED)
    assert parsed == []


@pytest.mark.parametrize("more", [b"", b"\0", b"\n", b"x" * 1000])
def test_signature_of_another_length_is_refused(bundle, more):
    data = (bundle.path / SIGNATURE).read_bytes()
    (bundle.path / SIGNATURE).write_bytes(data + more if more else data[:-1])
    refused(bundle, r"63 bytes, a signature has 64" if not more else r"at most 64 may be there")


def test_trailing_bytes_behind_the_manifest_are_refused(bundle, parsed):
    for more in (b"\n", b" ", b"\0", b"{}"):
        data = (bundle.path / MANIFEST).read_bytes()
        (bundle.path / MANIFEST).write_bytes(data + more)
        refused(bundle, UNTRUSTED)
        (bundle.path / MANIFEST).write_bytes(data)
    assert parsed == []


def signed_as_it_stands(bundle, data: bytes):
    (bundle.path / MANIFEST).write_bytes(data)
    (bundle.path / SIGNATURE).write_bytes(KEY.sign(data))


@pytest.mark.parametrize(
    "written",
    [
        lambda m: json.dumps(m).encode(),
        lambda m: json.dumps(m, indent=1, sort_keys=True).encode(),
        lambda m: json.dumps(m, indent=2, sort_keys=True).encode() + b"\n",
        lambda m: json.dumps(m, indent=1, sort_keys=True).encode() + b"\n\n",
        lambda m: json.dumps(dict(reversed(m.items())), indent=1).encode() + b"\n",
        # the same key twice: whoever reads the first one reads another model
        lambda m: (
            json.dumps(m, indent=1, sort_keys=True)
            .replace('"model_id"', '"model_id": "evil",\n "model_id"')
            .encode()
            + b"\n"
        ),
    ],
)
def test_manifest_is_signed_in_one_form_only(bundle, written):
    manifest = json.loads((bundle.path / MANIFEST).read_bytes())
    signed_as_it_stands(bundle, written(manifest))
    refused(bundle, r"is signed, but not as gasedge writes it")
    assert trusted_bundle(sign_bundle(Bundle.open(bundle.path), KEY).path, TRUST)


def test_signed_bytes_that_are_no_manifest_are_refused(bundle):
    for data in (b"", b"[]\n", b"null\n", b"\xff", b"[" * 100_000):
        signed_as_it_stands(bundle, data)
        refused(bundle, r"manifest.json: is broken at")


def test_signing_key_that_the_manifest_names_is_the_one_that_signed(bundle):
    for wrong in (key_id(raw_public(OTHER)), None):
        manifest = json.loads((bundle.path / MANIFEST).read_bytes()) | {"signing_key": wrong}
        signed_as_it_stands(bundle, signing.canonical_json(manifest))
        refused(bundle, rf"names .* as its signing key, but {ID} signed it")


def test_a_signature_moved_from_another_bundle_is_refused(bundle, tmp_path):
    other = sign_bundle(bundle.copied(tmp_path / "o.gasedge"), KEY, counter=4)
    shutil.copy(other.path / SIGNATURE, bundle.path / SIGNATURE)
    refused(bundle, UNTRUSTED)


def test_linked_signature_and_manifest_are_refused(bundle, tmp_path):
    for name in (SIGNATURE, MANIFEST):
        same = tmp_path / name
        (bundle.path / name).rename(same)
        (bundle.path / name).symlink_to(same)
        refused(bundle, r"is a link")
        (bundle.path / name).unlink()
        same.rename(bundle.path / name)
    (bundle.path / SIGNATURE).unlink()
    (bundle.path / SIGNATURE).symlink_to("nowhere")
    refused(bundle, r"is a link")


def test_pipe_in_place_of_a_file_keeps_nobody_waiting(bundle):
    for name in (SIGNATURE, graph_name(Precision.FP32)):
        (bundle.path / name).unlink()
        os.mkfifo(bundle.path / name)
    with pytest.raises(IntegrityError, match="is no plain file"):
        bundle.graph(Precision.FP32)
    refused(bundle, r"is no plain file")
    (bundle.path / MANIFEST).unlink()
    os.mkfifo(bundle.path / MANIFEST)
    with pytest.raises(InputError, match="is not a bundle"):
        trusted_bundle(bundle.path, TRUST)


def test_manifest_of_two_gigabytes_is_refused_unread(bundle, parsed):
    os.truncate(bundle.path / MANIFEST, 2 << 30)  # sparse: it takes no room
    refused(bundle, r"has 2147483648 bytes, at most 4194304 may be there")
    with pytest.raises(IntegrityError, match="at most 4194304 may be there"):
        Bundle.open(bundle.path)
    assert parsed == []


def test_revoked_key_model_and_manifest_are_refused(bundle):
    for revoked, said in (
        (Revoked(keys=frozenset([ID])), rf"is signed by key {ID}, which is revoked"),
        (Revoked(models=frozenset(["tiny-1"])), r"its model tiny-1 is revoked"),
        (Revoked(manifests=frozenset([bundle.manifest_sha256])), r"is revoked \(manifest "),
    ):
        refused(bundle, said, Trust(TRUST.keys, revoked))


def test_bundle_below_the_counter_is_too_old_and_at_it_is_not(bundle):
    assert trusted_bundle(bundle.path, Trust(TRUST.keys, least_counter=3))
    refused(
        bundle,
        r"is too old: its rollback counter is 3, .* one with 4",
        Trust(TRUST.keys, least_counter=4),
    )


def test_signing_refuses_a_damaged_file_and_a_lower_counter(bundle):
    with pytest.raises(ConfigError, match="has rollback counter 3; 2 is lower"):
        sign_bundle(bundle, KEY, counter=2)
    (bundle.path / "golden/a.frame.png").write_bytes(b"other")
    with pytest.raises(IntegrityError, match="fetch it again"):
        sign_bundle(bundle, KEY)
    assert trusted_bundle(bundle.path, TRUST).signed_by == ID


def test_change_takes_the_signature_away_and_what_is_no_change_keeps_it(bundle):
    assert bundle.updated({}, signing_key=ID) is bundle
    assert trusted_bundle(bundle.path, TRUST)
    changed = bundle.updated({"golden/a.frame.png": b"other"})
    assert (changed.manifest.signing_key, changed.signed_by) == (None, None)
    refused(changed, r"is not signed")


def test_change_that_is_cut_off_at_any_write_never_stands_signed_and_changed(bundle, monkeypatch):
    whole = {file: file.read_bytes() for file in bundle.path.rglob("*") if file.is_file()}
    for writes in range(5):
        with cut_off(monkeypatch, writes), contextlib.suppress(KeyboardInterrupt):
            bundle.updated({graph_name(Precision.FP32): b"new"})
        with pytest.raises(IntegrityError, match="is not signed"):
            trusted_bundle(bundle.path, TRUST)
        Bundle.open(bundle.path).verify()
        for file, data in whole.items():
            file.write_bytes(data)


def test_copy_of_the_whole_keeps_the_signature_and_of_a_part_has_none(bundle, tmp_path):
    whole = bundle.copied(tmp_path / "w.gasedge")
    assert trusted_bundle(whole.path, TRUST).manifest_sha256 == bundle.manifest_sha256
    part = bundle.copied(tmp_path / "p.gasedge", without=["golden/a.frame.png"])
    assert part.manifest.signing_key is None
    refused(part, r"is not signed")


def test_signature_is_no_file_that_a_manifest_may_name(bundle, tmp_path):
    with pytest.raises(IntegrityError, match=r"forbidden file 'manifest\.sig'"):
        bundle.updated({SIGNATURE: b"x" * 64})


def test_bundle_asked_for_by_its_hash_is_that_one_or_none(bundle, parsed):
    assert Bundle.open(bundle.path, manifest_sha256=bundle.manifest_sha256).manifest.model_id
    parsed.clear()
    with pytest.raises(IntegrityError, match="is not the bundle that was asked for"):
        Bundle.open(bundle.path, manifest_sha256="0" * 64)
    assert parsed == []


def test_signature_that_the_disk_does_not_take_leaves_the_bundle_unsigned(bundle, monkeypatch):
    def full(path, data):
        raise GasedgeError(f"{path}: no space left on this disk")

    monkeypatch.setattr(signing, "write_bytes", full)
    with pytest.raises(GasedgeError, match="no space left"):
        sign_bundle(bundle, OTHER)
    refused(Bundle.open(bundle.path), r"is not signed")
