"""A list of what is revoked counts only as a trusted key signed it."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contract.bundle import canonical_json
from contract.errors import ConfigError, IntegrityError
from contract.signing import Revoked, key_id, raw_public
from contract.signing_key import read_public_key
from contract.signing_revocation import (
    RevocationList,
    SeenRevocations,
    read_revocations,
    write_revocations,
)
from tests.signing import KEY, TRUST

LIST = RevocationList(
    keys={"0" * 16: "lost"}, models={"bad-1": ""}, manifests={"a" * 64: "false alarms"}
)


@pytest.fixture
def path(tmp_path):
    write_revocations(tmp_path / "revoked.json", LIST, KEY)
    return tmp_path / "revoked.json"


def test_list_is_read_back_as_it_was_signed_and_each_issue_counts_up(path):
    first = read_revocations(path, TRUST.keys)
    assert first.issue == 1
    assert first.revoked == Revoked(
        frozenset({"0" * 16}), frozenset({"bad-1"}), frozenset({"a" * 64})
    )
    write_revocations(path, first, KEY)
    assert read_revocations(path, TRUST.keys).issue == 2


def test_list_of_a_stranger_is_refused(path):
    write_revocations(path, LIST, Ed25519PrivateKey.generate())
    with pytest.raises(IntegrityError, match="none of the trusted keys"):
        read_revocations(path, TRUST.keys)
    other = raw_public(Ed25519PrivateKey.generate())
    write_revocations(path, LIST, KEY)
    with pytest.raises(IntegrityError, match="none of the trusted keys"):
        read_revocations(path, (other,))


def test_shortened_list_is_refused(path):
    content = json.loads(path.read_text())
    del content["signed"]["models"]["bad-1"]
    path.write_bytes(canonical_json(content))
    with pytest.raises(IntegrityError, match="changed since it was signed"):
        read_revocations(path, TRUST.keys)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"signature": "zz", "signed": {}}',
        b'{"signature": 5, "signed": {}}',
        b'{"signature": "", "signed": {}}',
    ],
)
def test_what_is_no_list_is_refused_in_one_line(path, data):
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match=r"gasedge bundle revoke") as error:
        read_revocations(path, TRUST.keys)
    assert "\n" not in str(error.value)


def test_list_in_another_form_is_refused(path):
    content = json.loads(path.read_text())
    for data in (json.dumps(content).encode(), path.read_bytes() + b"\n"):
        path.write_bytes(data)
        with pytest.raises(IntegrityError, match="not as gasedge bundle revoke wrote it"):
            read_revocations(path, TRUST.keys)
    path.write_bytes(canonical_json(content | {"signature": content["signature"][:-2]}))
    with pytest.raises(IntegrityError, match="none of the trusted keys"):
        read_revocations(path, TRUST.keys)


def test_list_that_is_older_than_one_that_was_seen_is_refused_in_one_line(path):
    old = path.read_bytes()
    first = read_revocations(path, TRUST.keys, SeenRevocations())
    second = write_revocations(path, first, KEY)
    seen = SeenRevocations().after(first).after(second)
    assert read_revocations(path, TRUST.keys, seen).issue == seen.issue == 2
    path.write_bytes(old)
    with pytest.raises(IntegrityError, match=r"is issue 1, .* has seen issue 2; bring the latest"):
        read_revocations(path, TRUST.keys, seen)


def test_another_list_of_the_issue_that_was_seen_takes_nothing_back(path):
    first = read_revocations(path, TRUST.keys)
    second = write_revocations(path, first, KEY)
    seen = SeenRevocations().after(first).after(second)
    write_revocations(path, RevocationList(issue=1, models={"other": ""}), KEY)
    with pytest.raises(IntegrityError, match="says something else than the issue 2") as error:
        read_revocations(path, TRUST.keys, seen)
    assert "\n" not in str(error.value)
    write_revocations(path, second, KEY)
    assert read_revocations(path, TRUST.keys, seen).issue == 3


def test_key_that_a_list_revoked_signs_no_later_list_which_forgets_it(path):
    other = Ed25519PrivateKey.generate()
    keys = (*TRUST.keys, raw_public(other))
    revoking = LIST.model_copy(update={"keys": {key_id(raw_public(KEY)): "stolen"}, "issue": 5})
    seen = SeenRevocations().after(write_revocations(path, revoking, other))
    read_revocations(path, keys, seen)
    write_revocations(path, RevocationList(issue=9), KEY)
    with pytest.raises(IntegrityError, match="which an earlier list revoked") as error:
        read_revocations(path, keys, seen)
    assert "\n" not in str(error.value)
    later = write_revocations(path, RevocationList(issue=9), other)
    write_revocations(path, RevocationList(issue=19), KEY)
    with pytest.raises(IntegrityError, match="which an earlier list revoked"):
        read_revocations(path, keys, seen.after(later))  # whatever a later list leaves out


def test_list_by_which_a_key_revokes_itself_stays_believed(path):
    own = RevocationList(keys={key_id(raw_public(KEY)): "lost"})
    seen = SeenRevocations().after(write_revocations(path, own, KEY))
    assert read_revocations(path, TRUST.keys, seen).revoked.keys == {key_id(raw_public(KEY))}


def test_signed_manifest_passes_for_no_list(path):
    signed = {"model_id": "m", "files": {}}
    data = canonical_json({"signature": KEY.sign(canonical_json(signed)).hex(), "signed": signed})
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match="is no list of revocations"):
        read_revocations(path, TRUST.keys)


def test_list_or_key_behind_links_that_go_round_in_a_circle_is_one_line(tmp_path):
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / name).symlink_to(tmp_path / other)
    with pytest.raises(IntegrityError, match="is a link"):
        read_revocations(tmp_path / "a", TRUST.keys)
    with pytest.raises(ConfigError, match="is a link"):
        read_public_key(tmp_path / "a")


def test_list_is_found_behind_a_link(path, tmp_path):
    (tmp_path / "link").symlink_to(path)
    assert read_revocations(tmp_path / "link", TRUST.keys).issue == 1


def test_missing_list_is_one_line(tmp_path):
    with pytest.raises(IntegrityError, match=r"cannot be read \(No such file"):
        read_revocations(tmp_path / "none.json", TRUST.keys)
