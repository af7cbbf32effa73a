"""The list of what is installed is true, complete, and what every reader of CycloneDX reads."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from email.message import Message

import pytest

from contract.bundle import MANIFEST, SIGNATURE
from contract.machine import Machine
from gasedge.sbom.installed import installed_for
from gasedge.sbom.licence import licences_of
from gasedge.sbom.machine_parts import bundled_in_opencv, machine_parts
from tests.signing import TRUST_TABLE

EPOCH = {"SOURCE_DATE_EPOCH": "1767225600"}


def sbom(*words, cwd, **more):
    command = [sys.executable, "-m", "gasedge", "sbom", *map(str, words)]
    environment = os.environ | more
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sbom")
    done = sbom("--out", "sbom.json", cwd=folder, **EPOCH)
    assert done.returncode == 0, done.stderr
    return (folder / "sbom.json").read_text(encoding="utf-8")


def test_list_is_valid_by_the_published_schema(written):
    pytest.importorskip("cyclonedx", reason="cyclonedx-python-lib holds the schema")
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(written) is None
    broken = written.replace('"CycloneDX"', '"Cyclone"')
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(broken) is not None


def test_list_holds_what_gasedge_itself_says_it_needs(written):
    listed = {each["name"].lower(): each for each in json.loads(written)["components"]}
    for name in ("click", "numpy", "pydantic", "pydantic_core", "tqdm"):
        version = importlib.metadata.version(name)
        assert listed[name]["version"] == version
        assert listed[name]["purl"] == f"pkg:pypi/{name.replace('_', '-')}@{version}"
    assert listed["cpython"]["version"] == platform.python_version()
    assert {"openssl", "sqlite", "linux"} <= listed.keys()


def test_every_reference_leads_to_something_that_is_listed(written):
    document = json.loads(written)
    parts = [document["metadata"]["component"], *document["components"]]
    known = [each["bom-ref"] for each in parts]
    assert len(known) == len(set(known))
    for each in document["dependencies"]:
        assert {each["ref"], *each["dependsOn"]} <= set(known)


def test_same_installation_gives_the_same_list_under_a_given_time(written, tmp_path):
    again = sbom(cwd=tmp_path, **EPOCH)
    assert again.stdout == written
    assert json.loads(written)["metadata"]["timestamp"] == "2026-01-01T00:00:00+00:00"


def metadata(**fields):
    message = Message()
    for name, values in fields.items():
        for value in [values] if isinstance(values, str) else values:
            message[name.replace("_", "-")] = value
    return importlib.metadata._adapters.Message(message)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"License_Expression": "MIT"}, [{"license": {"id": "MIT"}}]),
        (
            {"License_Expression": "EPL-2.0 OR BSD-3-Clause"},
            [{"expression": "EPL-2.0 OR BSD-3-Clause"}],
        ),
        ({"License": "MPL-2.0 AND MIT"}, [{"expression": "MPL-2.0 AND MIT"}]),
        ({"License": "Apache 2.0"}, [{"license": {"id": "Apache-2.0"}}]),
        (
            {
                "License": "word " * 50,
                "Classifier": ["License :: OSI Approved :: MIT License", "Typing :: Typed"],
            },
            [{"license": {"id": "MIT"}}],
        ),
        # which of the BSD licences nobody said
        (
            {"Classifier": ["License :: OSI Approved :: BSD License"]},
            [{"license": {"name": "BSD License"}}],
        ),
        ({"License": "UNKNOWN"}, []),
    ],
)
def test_licence_is_what_the_makers_say_and_never_a_guess(fields, expected):
    assert licences_of(metadata(**fields)) == expected


def test_only_what_leads_from_the_root_is_listed():
    found = installed_for("click")
    assert found["click"].needs <= found.keys()
    assert "numpy" not in found
    assert installed_for("no-such-distribution") == {}


def test_machine_is_listed_with_system_driver_and_l4t(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "os-release").write_text('ID=ubuntu\nVERSION_ID="22.04"\n')
    machine = Machine("cpu", 1, 1, "s", "board", None, "no GPU", "540.4.0", "36.4.3")
    parts = {
        (each["type"], each["name"]): each["version"] for each in machine_parts(machine, tmp_path)
    }
    assert parts["operating-system", "ubuntu"] == "22.04"
    assert parts["firmware", "jetson-linux"] == "36.4.3"
    assert parts["device-driver", "nvidia"] == "540.4.0"


def test_decoders_inside_opencv_are_known_by_version():
    cv2 = pytest.importorskip("cv2")
    found = bundled_in_opencv(cv2.getBuildInformation())
    assert {"avcodec", "avformat", "png", "jpeg"} <= found.keys()
    assert bundled_in_opencv("nothing of the kind") == {}


def config_for(bundle):
    bundle.with_name("daemon.toml").write_text(
        f'[model]\nbundle = "{bundle.name}"\n{TRUST_TABLE}'
        '[[camera]]\nname = "a"\nsource = "rtsp://127.0.0.1/a"\n'
    )
    return "daemon.toml"


def model_in(text):
    (found,) = (
        each for each in json.loads(text)["components"] if each["type"] == "machine-learning-model"
    )
    return found


def test_model_is_listed_with_its_files_and_the_key_that_signed_it(tiny_bundle):
    config = config_for(tiny_bundle)
    done = sbom(config, cwd=tiny_bundle.parent)
    assert done.returncode == 0, done.stderr
    model = model_in(done.stdout)
    files = json.loads((tiny_bundle / MANIFEST).read_text())["files"]
    listed = {each["name"]: each["hashes"][0]["content"] for each in model["components"]}
    assert listed == {name: each["sha256"] for name, each in files.items()}
    (signature,) = (p["value"] for p in model["properties"] if p["name"] == "gasedge:signature")
    assert signature.startswith("key ")
    (tiny_bundle / SIGNATURE).unlink()
    unsigned = model_in(sbom(config, cwd=tiny_bundle.parent).stdout)
    (signature,) = (p["value"] for p in unsigned["properties"] if p["name"] == "gasedge:signature")
    assert signature.startswith("not trusted: ")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nowhere.toml"], 2, "nowhere.toml: cannot be read"),
        (["--out", "/dev/null/sbom.json"], 1, "/dev/null"),
    ],
)
def test_what_cannot_be_read_or_written_is_one_line(words, code, said, tmp_path):
    done = sbom(*words, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (code, 1), done.stderr
    assert said in done.stderr


def test_time_that_is_none_is_refused(tmp_path):
    done = sbom(cwd=tmp_path, SOURCE_DATE_EPOCH="yesterday")
    assert done.returncode == 2
    assert "SOURCE_DATE_EPOCH is 'yesterday'" in done.stderr
