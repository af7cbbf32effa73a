"""A configuration that is wrong says where, and what is probably meant."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import Field

from contract.config import Section, load_config
from contract.errors import ConfigError


class Model(Section):
    bundle: str
    threads: int = Field(default=2, ge=1)


class FileSource(Section):
    kind: Literal["file"]
    path: str


class LiveSource(Section):
    kind: Literal["live"]
    url: str


class Camera(Section):
    name: str
    source: Annotated[FileSource | LiveSource, Field(discriminator="kind")] | None = None


class Daemon(Section):
    model: Model
    camera: tuple[Camera, ...] = ()
    stale_after_s: float = 2.0


@pytest.fixture
def config(tmp_path):
    def write(text):
        path = tmp_path / "daemon.toml"
        path.write_text(text)
        return path

    return write


def fault_of(path, **options):
    with pytest.raises(ConfigError) as error:
        load_config(path, Daemon, environment={}, **options)
    assert error.value.exit_code == 2
    return str(error.value)


def test_whole_file_is_read_and_defaults_fill_the_rest(config):
    path = config('[model]\nbundle = "a"\n[[camera]]\nname = "one"\n[[camera]]\nname = "two"\n')
    read = load_config(path, Daemon, environment={})
    assert read.model == Model(bundle="a", threads=2)
    assert [c.name for c in read.camera] == ["one", "two"]


def test_unknown_key_gives_its_line_and_the_nearest_key(config):
    path = config('# comment\n[model]\nbundle = "a"\n\nthreds = 3\n')
    assert fault_of(path) == f"{path}:5: unknown key model.threds; did you mean threads?"


def test_unknown_key_like_no_other_gets_no_hint(config):
    path = config('zzz = 1\n[model]\nbundle = "a"\n')
    assert fault_of(path) == f"{path}:1: unknown key zzz"


def test_unknown_table_is_found_too(config):
    path = config('[modell]\nbundle = "a"\n[model]\nbundle = "b"\n')
    assert fault_of(path) == f"{path}:1: unknown key modell; did you mean model?"


def test_key_of_the_second_table_of_an_array_has_that_line(config):
    path = config('[model]\nbundle = "a"\n[[camera]]\nname = "1"\n[[camera]]\nnmae = "2"\n')
    faults = fault_of(path).splitlines()
    assert f"{path}:6: unknown key camera.1.nmae; did you mean name?" in faults
    assert f"{path}:5: camera.1.name is missing" in faults


def test_key_inside_a_union_is_looked_up_in_its_members(config):
    path = config(
        '[model]\nbundle = "a"\n[[camera]]\nname = "1"\n[camera.source]\nkind = "live"\n'
        'url = "x"\nurk = "y"\n'
    )
    assert f"{path}:8: unknown key" in fault_of(path)
    assert "did you mean url?" in fault_of(path)


def test_wrong_value_gives_line_and_value(config):
    path = config('[model]\nbundle = "a"\nthreads = 0\n')
    fault = fault_of(path)
    assert fault.startswith(f"{path}:3: model.threads: ")
    assert fault.endswith("not 0")


def test_brackets_inside_a_value_do_not_move_the_line(config):
    path = config('[model]\nbundle = """\n[a, b],\n"""\nthreads = "many"\n')
    assert fault_of(path).startswith(f"{path}:5: model.threads: ")


def test_missing_table_is_named(config):
    path = config("stale_after_s = 1\n")
    assert fault_of(path) == f"{path}: model is missing"


def test_file_that_is_no_toml_or_not_there_is_refused(config, tmp_path):
    assert "is not TOML" in fault_of(config("[model\n"))
    assert "line 1" in fault_of(config("[model\n"))
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    assert "is not TOML" in fault_of(tmp_path / "bytes.toml")
    assert "cannot be read" in fault_of(tmp_path / "none.toml")
    assert "cannot be read" in fault_of(tmp_path)


def test_file_gives_way_to_environment_and_that_to_the_command_line(config):
    path = config('stale_after_s = 3\n[model]\nbundle = "file"\nthreads = 3\n')
    read = load_config(
        path,
        Daemon,
        environment={
            "GASEDGE__MODEL__BUNDLE": "environment",
            "GASEDGE__MODEL__THREADS": "4",
            "GASEDGE__STALE_AFTER_S": "4.5",
            "OTHER": "ignored",
        },
        overrides={"model.threads": 5, "model.bundle": None},
    )
    assert read.model == Model(bundle="environment", threads=5)
    assert read.stale_after_s == 4.5


def test_wrong_environment_is_blamed_on_the_environment(config):
    path = config('[model]\nbundle = "a"\nthreads = 3\n')
    for name, said in {
        "GASEDGE__MODEL__THREDS": "unknown key model.threds; did you mean threads?",
        "GASEDGE__MODEL__THREADS": "model.threads: ",
    }.items():
        with pytest.raises(ConfigError) as error:
            load_config(path, Daemon, environment={name: "zero"})
        assert str(error.value).startswith(f"environment variable {name}: {said}")
    with pytest.raises(ConfigError, match="GASEDGE__MODEL__BUNDLE__X: bundle is not a table"):
        load_config(path, Daemon, environment={"GASEDGE__MODEL__BUNDLE__X": "1"})


def test_configuration_cannot_be_changed_afterwards(config):
    read = load_config(config('[model]\nbundle = "a"\n'), Daemon, environment={})
    with pytest.raises(ValueError, match="frozen"):
        read.model.threads = 9
