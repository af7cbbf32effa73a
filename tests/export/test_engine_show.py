"""`gasedge engine show`: an engine for RTX is read anywhere; what cannot be told is said."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import pytest

from contract.bundle import Bundle, graph_name
from contract.fingerprint import fingerprint_path
from contract.machine import this_machine
from contract.precision import Precision
from export.engine import build_engine
from gasedge.cli import main
from tests.export.graphs import quantised_graph

pytest.importorskip("tensorrt_rtx_bindings", reason="pip install 'gasedge[rtx]'")


@pytest.fixture
def engine(tiny_bundle):
    bundle = Bundle.open(tiny_bundle).updated({graph_name(Precision.INT8): quantised_graph()})
    return build_engine(bundle, Precision.INT8, rtx=True).path


def shown(capsys, *arguments):
    assert main(["engine", "show", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_table_tells_every_layer_and_why_no_time(engine, capsys):
    text = shown(capsys, engine)
    assert "2 convolutions: 2 INT8" in text
    rows = text.split("nodes\n")[1].splitlines()
    said = json.loads(shown(capsys, engine, "--json"))
    assert len(rows) == len(said["layers"]) == said["statistics"]["layers"]
    convolutions = [each for each in said["layers"] if each["kind"] == "convolution"]
    assert {each["precision"] for each in convolutions} == {"int8"}
    nodes = {node for each in convolutions for node in each["nodes"]}
    assert len([node for node in nodes if node.startswith("Conv_")]) == 2
    assert all(each["moved_bytes"] > 0 for each in said["layers"])
    assert said["scratch_bytes"] > 0
    if this_machine().gpu is None:
        assert "not timed: no GPU" in text
        assert {each["time_ms"] for each in said["layers"]} == {None}


@pytest.mark.parametrize("suffix", [".svg", ".html"])
def test_picture_has_a_bar_for_every_layer(engine, tmp_path, capsys, suffix):
    picture = tmp_path / f"layers{suffix}"
    said = json.loads(shown(capsys, engine, "--json", "--picture", picture))
    text = picture.read_text()
    root = ET.fromstring(text[text.index("<svg") :])
    assert len(list(root.iter("{http://www.w3.org/2000/svg}title"))) == len(said["layers"])
    assert text.startswith("<svg" if suffix == ".svg" else "<!doctype html>")


def test_the_page_holds_a_name_as_text_not_as_markup(engine, tmp_path, capsys):
    named = engine.with_name("<b>bold</b>.engine".replace("/", "_"))
    engine.rename(named)
    fingerprint_path(engine).rename(fingerprint_path(named))
    shown(capsys, named, "--picture", tmp_path / "layers.html")
    page = (tmp_path / "layers.html").read_text()
    assert "<b>" not in page
    assert page.count("&lt;b&gt;bold") >= 2  # title and first line


def test_bad_input_is_one_line(engine, tmp_path, capsys):
    def refused(*arguments):
        code = main(["engine", "show", *map(str, arguments)])
        [line] = capsys.readouterr().err.strip().splitlines()
        return code, line

    assert refused(tmp_path / "none.engine") == (
        2,
        f"gasedge: {tmp_path / 'none.engine'}: is not a file; make one: gasedge build-engine",
    )
    assert refused(engine, "--picture", tmp_path / "layers.png")[0] == 2
    engine.write_bytes(engine.read_bytes() + b"\0")
    code, line = refused(engine)
    assert code == 1
    assert "is not the engine that its fingerprint was written for" in line
    fingerprint_path(engine).unlink()
    code, line = refused(engine)
    assert code == 1
    assert "has no fingerprint" in line


def test_engine_of_another_tensorrt_needs_its_machine(engine, capsys):
    if this_machine().gpu is not None:
        pytest.skip("there is a GPU")
    path = fingerprint_path(engine)
    other = json.loads(path.read_text()) | {"tensorrt": "tensorrt 10.3.0"}
    path.write_text(json.dumps(other))
    assert main(["engine", "show", str(engine)]) == 1
    assert "look at it on the machine that built it" in capsys.readouterr().err
