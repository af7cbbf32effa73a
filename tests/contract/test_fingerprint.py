"""An engine without a sound fingerprint of this machine is never loaded."""

from __future__ import annotations

import pytest

from contract.errors import IntegrityError
from contract.fingerprint import Fingerprint, fingerprint_path, read_fingerprint
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
