"""Real engines from TensorRT for RTX, which builds with no GPU: what was asked is what is built."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from contract.atomic import sha256_of_file
from contract.bundle import Bundle, graph_name
from contract.errors import CheckError, ConfigError, EngineError, IntegrityError
from contract.fingerprint import fingerprint_path, read_fingerprint
from contract.precision import Precision
from contract.tensorrt_api import TensorRT
from edge_runtime.backends.engine_rebuild import EngineRebuild
from edge_runtime.config import ModelConfig
from export.builder_process import graph_for
from export.engine import BuildOptions, build_engine
from gasedge.cli import main
from tests.export.graphs import quantised_graph
from tests.signing import open_signed, sign

pytest.importorskip(
    "tensorrt_rtx_bindings", reason="needs TensorRT for RTX: pip install 'gasedge[rtx]'"
)


@pytest.fixture
def bundle(tiny_bundle):
    return Bundle.open(tiny_bundle).updated({graph_name(Precision.INT8): quantised_graph()})


def test_int8_engine_is_built_and_its_int8_convolutions_are_counted(bundle, tmp_path, capsys):
    arguments = ["build-engine", str(bundle.path), "--int8", "--rtx", "--out", str(tmp_path / "e")]
    assert main([*arguments, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    counted = report["statistics"]
    assert (counted["int8"], counted["fp16"], counted["fp32"], counted["other"]) == (2, 0, 0, 0)
    engine = Path(report["engine"])
    fingerprint = read_fingerprint(engine)
    assert fingerprint.precision is Precision.INT8
    assert fingerprint.engine_sha256 == sha256_of_file(engine)
    assert fingerprint.engine_bytes == engine.stat().st_size
    assert fingerprint.graph_sha256 == bundle.manifest.files["model.int8.onnx"].sha256
    assert fingerprint.tensorrt.startswith("tensorrt_rtx 1.")
    assert fingerprint.builder["typing"] == "strong"
    assert {p.name for p in engine.parent.iterdir()} == {
        engine.name,
        fingerprint_path(engine).name,
    }
    assert engine.stat().st_mode & 0o133 == 0


@pytest.mark.parametrize(
    ("precision", "batch", "counted"), [("fp32", 1, "fp32"), ("fp16", 4, "fp16")]
)
def test_engine_computes_in_the_precision_that_was_asked_for(bundle, precision, batch, counted):
    built = build_engine(
        bundle, Precision(precision), rtx=True, options=BuildOptions(max_batch=batch)
    )
    assert built.path.parent == bundle.path.parent
    assert built.statistics.as_dict()[counted] == built.statistics.convolutions == 17
    assert built.fingerprint.builder["max_batch"] == batch
    assert built.fingerprint.builder["tf32"] == (precision != "fp32")


def test_int8_that_is_not_in_the_graph_is_refused_and_nothing_is_kept(bundle, tmp_path):
    plain = bundle.updated({graph_name(Precision.INT8): quantised_graph(pairs=False)})
    with pytest.raises(CheckError, match=r"no Q/DQ pair .*2 FP16.*--fp16"):
        build_engine(plain, Precision.INT8, rtx=True, out=tmp_path / "engines")
    assert list((tmp_path / "engines").iterdir()) == []
    built = build_engine(
        plain,
        Precision.INT8,
        rtx=True,
        out=tmp_path / "engines",
        options=BuildOptions(verify=False),
    )
    assert built.fingerprint.builder["verified"] is False


def test_unsigned_zero_points_are_an_error_because_tensorrt_would_clip_half_the_range(
    bundle, tmp_path
):
    wrong = bundle.updated({graph_name(Precision.INT8): quantised_graph(unsigned=True)})
    with pytest.raises(EngineError, match="unsigned zero points"):
        build_engine(wrong, Precision.INT8, rtx=True, out=tmp_path)


def test_damaged_graph_never_reaches_tensorrt(bundle, tmp_path):
    with (bundle.path / "model.int8.onnx").open("r+b") as file:
        file.seek(200)
        file.write(b"\0\1\2\3")
    with pytest.raises(IntegrityError, match="SHA-256"):
        build_engine(bundle, Precision.INT8, rtx=True, out=tmp_path / "engines")
    assert list((tmp_path / "engines").iterdir()) == []


def test_precision_that_the_bundle_lacks_is_named(tiny_bundle):
    with pytest.raises(ConfigError, match="gasedge calibrate"):
        build_engine(Bundle.open(tiny_bundle), Precision.INT8, rtx=True)


def test_old_tensorrt_takes_the_opset_17_graph_or_says_how_to_get_it(bundle):
    class Flags:
        EXPLICIT_BATCH = 0

    class Old:
        NetworkDefinitionCreationFlag = Flags

    old = TensorRT(Old, "tensorrt", "8.5.2.2")
    assert graph_for(bundle, Precision.FP16, old)[0] == "model.fp16.onnx"
    with pytest.raises(ConfigError, match=r"of opset 19 .*gasedge calibrate \.\.\. --opset17"):
        graph_for(bundle, Precision.INT8, old)
    older = quantised_graph(opset=17)
    name, graph = graph_for(bundle.updated({"model.int8.opset17.onnx": older}), Precision.INT8, old)
    assert (name, graph) == ("model.int8.opset17.onnx", older)


def builder_pid(parent: int) -> int:
    """The builder process that `parent` has started."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = status.read_text().rsplit(")", 1)[1].split()
                command = (status.parent / "cmdline").read_bytes()
            except OSError:
                continue
            if int(fields[1]) == parent and b"export.builder_process" in command:
                return int(status.parent.name)
        time.sleep(0.01)
    raise TimeoutError


@pytest.fixture
def killer():
    """Kills the first builder that this process starts, as the kernel does."""

    def kill() -> None:
        os.kill(builder_pid(os.getpid()), signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    yield thread
    thread.join()


@pytest.mark.usefixtures("killer")
def test_builder_that_is_killed_is_named_as_out_of_memory(bundle, tmp_path):
    options = BuildOptions(level=3)
    with pytest.raises(EngineError, match=r"killed, as the kernel does when memory runs out"):
        build_engine(bundle, Precision.FP32, rtx=True, out=tmp_path / "engines", options=options)
    assert list((tmp_path / "engines").iterdir()) == []


@pytest.mark.usefixtures("killer")
def test_build_that_ran_out_of_memory_goes_one_rung_down_and_says_so(bundle, tmp_path, caplog):
    options = BuildOptions(workspace_mib=256)
    built = build_engine(bundle, Precision.INT8, rtx=True, out=tmp_path, options=options)
    assert built.fingerprint.builder["level"] == 1
    assert built.fingerprint.builder["workspace_mib"] == 128
    assert "trying again with optimisation level 1 and a workspace of 128 MiB" in caplog.text


def test_interrupt_ends_the_builder_and_leaves_nothing(bundle, tmp_path):
    engines = tmp_path / "engines"
    command = [sys.executable, "-m", "gasedge", "build-engine", str(bundle.path), "--fp32", "--rtx"]
    with subprocess.Popen([*command, "--out", str(engines)], stderr=subprocess.PIPE) as process:
        builder = builder_pid(process.pid)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.decode().splitlines()[-1] == "gasedge: interrupted"
    assert list(engines.iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.kill(builder, 0)


def test_building_an_engine_imports_nothing_that_a_device_lacks(bundle, tmp_path):
    code = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "onnx", "onnxruntime", "cv2", "onnxscript", "pycuda",
                                  "segmentation_models_pytorch", "openvino", "lightning"}:
            raise ImportError(name + " is not on a device")
sys.meta_path.insert(0, Absent())
import export.engine, gasedge.commands.build_engine, gasedge.commands.export
from export.builder_process import main
main()
"""
    from export.builder_process import BuildTask
    from export.builder_settings import BuildRequest

    task = BuildTask(
        bundle=str(bundle.path),
        manifest_sha256=bundle.manifest_sha256,
        request=asdict(BuildRequest(Precision.INT8, workspace_mib=64)),
        rtx=True,
        compute_capability=None,
        verify=True,
        max_reformats=None,
        timing_cache=None,
        progress=None,
        plan=str(tmp_path / "plan"),
        result=str(tmp_path / "result.json"),
        log_level=30,
    )
    subprocess.run([sys.executable, "-c", code], input=task.as_json(), text=True, check=True)
    assert json.loads((tmp_path / "result.json").read_text())["statistics"]["int8"] == 2


def test_own_ranges_are_refused_by_a_tensorrt_without_a_calibrator(bundle, tmp_path, capsys):
    arguments = ["build-engine", str(bundle.path), "--rtx", "--own-ranges", str(tmp_path)]
    assert main([*arguments, "--int8"]) == 2
    assert "has no INT8 calibrator, 10 was the last with one" in capsys.readouterr().err
    assert main([*arguments, "--fp16"]) == 2
    assert "--own-ranges is for --int8" in capsys.readouterr().err


def test_a_rebuild_keeps_what_was_asked_for_the_old_engine(bundle, tmp_path):
    asked = ["--max-batch", "2", "--workspace-mib", "96", "--optimization-level", "2"]
    asked += ["--max-reformats", "31", "--unverified"]
    out = ["--rtx", "--out", str(tmp_path)]
    assert main(["-q", "build-engine", str(bundle.path), "--fp16", *asked, *out]) == 0
    [engine] = tmp_path.glob("*.engine")
    old = read_fingerprint(engine)
    assert old.builder["asked_max_reformats"] == 31
    rebuild = EngineRebuild(bundle, Precision.FP16, engine, "it is old")
    rebuild.finish()
    new = read_fingerprint(engine)
    assert new.built_at != old.built_at or new.engine_sha256 != old.engine_sha256
    assert new.builder == old.builder


def test_an_engine_with_ranges_of_unknown_pictures_is_not_rebuilt_with_other_ranges(
    bundle, tmp_path
):
    built = build_engine(bundle, Precision.FP16, rtx=True, out=tmp_path)
    own = built.fingerprint.builder | {"ranges": "own"}
    fingerprint = built.fingerprint.model_copy(update={"builder": own})
    fingerprint_path(built.path).write_text(fingerprint.model_dump_json())
    before = sorted(tmp_path.iterdir())
    with pytest.raises(EngineError, match=r"TensorRT's own.*gasedge build-engine .*--own-ranges"):
        EngineRebuild(bundle, Precision.INT8, built.path, "driver: built for 1, here is 2")
    assert sorted(tmp_path.iterdir()) == before


def test_the_daemon_refuses_an_engine_for_sizes_that_it_would_never_feed(bundle, tmp_path, capsys):
    command = ["-q", "build-engine", str(bundle.path), "--fp16", "--rtx", "--out", str(tmp_path)]
    assert main([*command, "--sizes", "32x32..96x96"]) == 0
    [engine] = tmp_path.glob("*.engine")
    sign(bundle.path)
    config = ModelConfig(bundle=bundle.path, precision=Precision.FP16, engine=engine)
    with pytest.raises(EngineError, match=r"frames of 32x32\.\.96x96 .*own 64x64 alone"):
        open_signed(config)


def test_an_engine_whose_build_was_cut_off_before_its_fingerprint_is_whole(
    bundle, tmp_path, monkeypatch
):
    def killed(_engine):
        raise KeyboardInterrupt

    monkeypatch.setattr("export.engine.settle_fingerprint", killed)
    with pytest.raises(KeyboardInterrupt):
        build_engine(bundle, Precision.FP16, rtx=True, out=tmp_path)
    [engine] = tmp_path.glob("*.engine")
    assert not fingerprint_path(engine).exists()
    assert read_fingerprint(engine).engine_sha256 == sha256_of_file(engine)
