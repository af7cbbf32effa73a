"""The one build path holds for every living TensorRT: checked against its real Python bindings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.export.bindings_wheels import VERSIONS, unpacked_bindings

HERE = Path(__file__).parent


@pytest.fixture(scope="module", params=VERSIONS)
def generation(request, pytestconfig, tmp_path_factory):
    """What the builder code did on the bindings of one generation."""
    version = request.param
    work = unpacked_bindings(version, pytestconfig, tmp_path_factory.mktemp("bindings"))
    paths = [str(work), str(HERE.parents[1])]
    done = subprocess.run(
        [sys.executable, HERE / "tensorrt_generation.py", version],
        env=os.environ | {"LD_LIBRARY_PATH": str(work), "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return version, json.loads(done.stdout)


def test_every_member_that_the_builder_uses_exists_in_this_generation(generation):
    _, said = generation
    for precision in ("fp32", "fp16", "int8"):
        called = {name for name, *_ in said[f"{precision} 4"]["calls"]}
        assert {"create_network", "parse", "set_memory_pool_limit", "set_shape"} <= called
        assert {"build_serialized_network", "add_optimization_profile"} <= called


def test_precision_comes_from_the_graph_and_flags_only_give_leave_where_typing_is_weak(generation):
    version, said = generation
    wanted = {"fp32 1": [], "fp16 1": ["FP16"], "int8 1": ["INT8", "FP16"]}
    for case, flags in wanted.items():
        calls = said[case]["calls"]
        given = [call[1].split(".")[1] for call in calls if call[0] == "set_flag"]
        weak = version.startswith("8.")
        assert given == (flags if weak else [])
        assert said[case]["settings"]["typing"] == ("weak" if weak else "strong")
        [created] = [call[1] for call in calls if call[0] == "create_network"]
        assert int(created) == 1 << said["EXPLICIT_BATCH" if weak else "STRONGLY_TYPED"]


def test_fp32_engine_is_not_built_in_tf32(generation):
    _, said = generation
    assert ["clear_flag", "BuilderFlag.TF32"] in said["fp32 1"]["calls"]
    assert ["clear_flag", "BuilderFlag.TF32"] not in said["fp16 1"]["calls"]


def test_one_frame_is_built_static_and_more_by_a_profile(generation):
    _, said = generation
    assert ["shape", "(1, 64, 64, 3)"] in said["int8 1"]["calls"]
    shapes = [c for c in said["int8 4"]["calls"] if c[0] == "set_shape"]
    assert shapes == [["set_shape", "frames", "(1, 64, 64, 3)", "(4, 64, 64, 3)", "(4, 64, 64, 3)"]]


def test_trouble_is_told_in_this_generations_words(generation):
    version, said = generation
    node = "node number 3" if version.startswith("8.") else "node n Op"
    assert f"cannot read this graph: {node}: bad; export the network anew" in said["parses"]
    assert "could not build this graph" in said["builds"]


def test_convolutions_asked_for_are_read_from_the_parsed_network(generation):
    _, said = generation
    [asked] = said["fp16 1"]["asked"]
    assert (asked["name"], asked["precision"], asked["whole_pair"]) == ("conv", "int8", True)
    assert (asked["inputs"], asked["outputs"]) == (64, 64)


def test_size_range_frees_height_and_width_and_optimises_for_the_bundles_own(generation):
    _, said = generation
    calls = said["sizes"]["calls"]
    assert ["shape", "(1, -1, -1, 3)"] in calls
    shapes = ["(1, 64, 32, 3)", "(1, 64, 64, 3)", "(1, 128, 96, 3)"]
    assert ["set_shape", "frames", *shapes] in calls
    assert ["builder_optimization_level", "1"] in calls
    assert said["sizes"]["settings"]["sizes"] == "32x64..96x128"


def test_dla_is_set_up_with_the_gpu_for_the_rest_or_refused_with_the_reason(generation):
    version, said = generation
    calls = said["dla"]["calls"]
    assert ["default_device_type", "DeviceType.DLA"] in calls
    assert ["set_flag", "BuilderFlag.GPU_FALLBACK"] in calls
    assert "finds no DLA here" in said["no dla"]
    assert ("takes no Q/DQ pairs" in said["int8 dla"]) == (not version.startswith("11"))


def test_kernel_timings_are_kept_between_builds(generation):
    _, said = generation
    first, second = said["timings"]
    for build in (first, second):
        names = [name for name, *_ in build["calls"]]
        assert names.index("set_timing_cache") < names.index("build_serialized_network")
        assert names[-2:] == ["get_timing_cache", "serialize"]


def test_progress_is_told_from_tensorrt_10_on(generation):
    version, said = generation
    if version.startswith("8."):
        assert said["progress"] is None
        return
    told = [json.loads(line) for line in said["progress"]]
    assert told[0] == {"phase": "Building engine", "of": 3, "done": 0}
    assert {"inner": "Timing tactics"} in told
    assert told[-1] == {"done": 1}


def test_weights_are_left_out_where_the_generation_can_and_refused_where_not(generation):
    version, said = generation
    if version.startswith("8."):
        assert "--strip: this TensorRT cannot" in said["strip"]
    else:
        flags = [call[1] for call in said["strip"]["calls"] if call[0] == "set_flag"]
        older_name = "BuilderFlag.WEIGHTLESS"  # how 10.0 to 10.3 print the same flag
        assert flags in (["BuilderFlag.STRIP_PLAN"], [older_name])


def older(version):
    return int(version.split(".")[0]) <= 10


def test_tensorrt_takes_its_own_ranges_frame_by_frame_where_it_still_can(generation):
    version, said = generation
    own = said["own"]
    if not older(version):
        assert "has no INT8 calibrator, 10 was the last" in own["error"]
        return
    assert (own["size"], own["read"], own["batches"]) == (1, "", [[4096], [4097], [4098]])
    assert own["written"] == "TRT's own"
    flags = [call[1] for call in own["calls"] if call[0] == "set_flag"]
    assert flags == [
        *(["BuilderFlag.INT8", "BuilderFlag.FP16"] if version.startswith("8.") else []),
        "BuilderFlag.INT8",
        "BuilderFlag.FP16",
    ]
    names = [name for name, *_ in own["calls"]]
    assert {"int8_calibrator", "set_calibration_profile"} <= set(names)
    created = next(call[1] for call in own["calls"] if call[0] == "create_network")
    assert int(created) == 1 << said["EXPLICIT_BATCH"]
    assert (own["settings"]["typing"], own["settings"]["ranges"]) == ("weak", "own")


def test_the_bundles_cache_is_given_under_the_version_that_reads_it(generation):
    version, said = generation
    if not older(version):
        return
    major, minor, patch = (int(part) for part in version.split(".")[:3])
    number = (major * (1000 if major < 10 else 10000)) + minor * 100 + patch
    first, line = said["cache"]["read"].splitlines()
    assert (first, line) == (f"TRT-{number}-EntropyCalibration2", "relu: 3c009976")
    assert said["cache"]["batches"] == []


def test_what_goes_wrong_in_a_calibrator_ends_the_build(generation):
    version, said = generation
    if not older(version):
        return
    assert said["own broken"]["error"] == "copying to the GPU: out of memory"
    assert "did not take the bundle's calibration cache" in said["cache refused"]["error"]
