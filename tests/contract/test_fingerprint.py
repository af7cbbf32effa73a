"""An engine without a sound fingerprint of this machine is never loaded."""

from __future__ import annotations

import pytest

from contract.atomic import sha256_of_bytes
from contract.errors import ConfigError, IntegrityError
from contract.fingerprint import (
    Fingerprint,
    announce_fingerprint,
    fingerprint_path,
    is_sealed_here,
    read_fingerprint,
    sealed,
    settle_fingerprint,
)
from contract.precision import Precision

PRINT = Fingerprint(
    model_id="m",
    precision=Precision.INT8,
    graph_sha256="a" * 64,
    engine_sha256="b" * 64,
    engine_bytes=1,
    tensorrt="tensorrt 10.3.0",
    gpu_name="Orin",
    compute_capability="8.7",
    driver="540.4.0",
    l4t="36.4.3",
    builder={"optimization_level": 3},
    built_at="2026-01-01T00:00:00+00:00",
)


@pytest.fixture
def engine(tmp_path):
    path = tmp_path / "m.int8.engine"
    path.write_bytes(b"x")
    return path


def test_fingerprint_stands_beside_its_engine_and_is_read_back(engine):
    fingerprint_path(engine).write_text(PRINT.model_dump_json())
    assert fingerprint_path(engine).name == "m.int8.engine.json"
    assert read_fingerprint(engine) == PRINT


def test_engine_without_fingerprint_says_to_build_it_here(engine):
    with pytest.raises(IntegrityError, match=r"run gasedge build-engine on this machine"):
        read_fingerprint(engine)


@pytest.mark.parametrize("content", ["", "{", "{}", '{"schema_version": 1, "more": 2}'])
def test_broken_fingerprint_is_refused_in_one_line(engine, content):
    fingerprint_path(engine).write_text(content)
    with pytest.raises(IntegrityError, match="build anew") as error:
        read_fingerprint(engine)
    assert "\n" not in str(error.value)


def test_every_differing_field_is_named():
    here = {"tensorrt": "tensorrt 10.16.0", "gpu_name": "Orin", "l4t": "39.2.0"}
    assert PRINT.differences(here) == [
        "tensorrt: built for tensorrt 10.3.0, here is tensorrt 10.16.0",
        "l4t: built for 36.4.3, here is 39.2.0",
    ]


@pytest.fixture
def replaced(engine):
    """Puts engine "new" in the place of "old", cut off after so many steps."""
    old, new = (
        PRINT.model_copy(update={"model_id": name, "engine_sha256": sha256_of_bytes(name.encode())})
        for name in ("old", "new")
    )
    engine.write_bytes(b"old")
    fingerprint_path(engine).write_text(old.model_dump_json())

    def replace(steps):
        for step in (
            lambda: announce_fingerprint(engine, new),
            lambda: engine.write_bytes(b"new"),
            lambda: settle_fingerprint(engine),
        )[:steps]:
            step()
        return engine

    return replace


@pytest.mark.parametrize("steps", range(4))
def test_wherever_putting_an_engine_in_place_is_cut_off_the_pair_is_whole(replaced, steps):
    engine = replaced(steps)
    for _ in range(2):
        assert read_fingerprint(engine).model_id == engine.read_bytes().decode()
    announced = steps == 1  # of an engine that never came
    assert len(list(engine.parent.glob("*.json"))) == 1 + announced


@pytest.mark.parametrize("content", ["", "{}"])
def test_a_broken_announcement_does_not_harm_the_pair_that_is_there(replaced, content):
    engine = replaced(1)
    [announced] = engine.parent.glob("*.next.json")
    announced.write_text(content)
    assert read_fingerprint(engine).model_id == "old"


def test_other_bytes_than_were_announced_are_not_taken_for_them(replaced):
    engine = replaced(1)
    engine.write_bytes(b"put here by a stranger")
    assert read_fingerprint(engine).engine_sha256 == sha256_of_bytes(b"old")


@pytest.fixture
def device(tmp_path, monkeypatch):
    """Become another device, with a state folder of its own."""

    def become(name):
        monkeypatch.delenv("STATE_DIRECTORY", raising=False)
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / name))
        return tmp_path / name / "gasedge" / "seal"

    become("ours")
    return become


def test_a_device_knows_what_it_sealed_and_nobody_else_does(device):
    ours = sealed(PRINT)
    assert is_sealed_here(ours)
    assert is_sealed_here(Fingerprint.model_validate_json(ours.model_dump_json()))
    device("theirs")
    assert not is_sealed_here(ours)
    assert not is_sealed_here(PRINT)


@pytest.mark.parametrize("field", ["engine_sha256", "graph_sha256", "gpu_name", "builder"])
def test_a_sealed_fingerprint_cannot_be_rewritten_for_another_engine(device, field):
    other = {"builder": {"optimization_level": 4}}.get(field, "c" * 64)
    assert not is_sealed_here(sealed(PRINT).model_copy(update={field: other}))


def test_a_seal_outlives_a_version_that_knows_more_fields(device):
    class Later(Fingerprint):
        more: str | None = None

    assert is_sealed_here(Later.model_validate_json(sealed(PRINT).model_dump_json()))


def test_the_secret_is_for_this_user_alone_and_a_doubtful_one_is_refused(device):
    sealed(PRINT)
    folder = device("ours")
    secret = folder / "engine-seal.key"
    assert (folder.stat().st_mode & 0o777, secret.stat().st_mode & 0o777) == (0o700, 0o600)
    secret.chmod(0o644)
    with pytest.raises(ConfigError, match="others may read the secret"):
        is_sealed_here(PRINT)
    secret.chmod(0o600)
    secret.write_bytes(b"short")
    with pytest.raises(ConfigError, match="damaged; remove it, and engines are built anew"):
        is_sealed_here(PRINT)
    secret.write_bytes(b"x" * 33)
    with pytest.raises(ConfigError, match="engines are built anew"):
        is_sealed_here(PRINT)
    folder.chmod(0o755)
    with pytest.raises(ConfigError, match="others may read the secret"):
        is_sealed_here(PRINT)


def test_a_service_keeps_its_secret_where_systemd_says(device, monkeypatch, tmp_path):
    (tmp_path / "service").mkdir()
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path / 'service'}:{tmp_path / 'second'}")
    assert is_sealed_here(sealed(PRINT))
    assert [p.name for p in (tmp_path / "service").rglob("*.key")] == ["engine-seal.key"]


def test_without_a_place_for_the_secret_it_is_one_line(device, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(ConfigError, match=r"cannot be kept .*XDG_STATE_HOME") as error:
        sealed(PRINT)
    assert "\n" not in str(error.value)
