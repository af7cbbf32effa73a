"""Our use of TensorRT type-checks against the real Python API of every generation.

Stubs come from the bindings themselves. For the check the seam's files are copied with `trt`, which
is a value at run time because the generations differ, taken for the module that it is.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.export.bindings_wheels import VERSIONS, unpacked_bindings

ROOT = Path(__file__).parents[2]
SEAM = (
    "export/engine_from_onnx.py",
    "export/builder_settings.py",
    "export/built_as_asked.py",
    "export/build_progress.py",
    "export/implicit_int8.py",
    "edge_runtime/cuda/tensorrt_engine.py",
)
# What a generation lacks and our code asks for before it uses it: running every way through the
# code on the real bindings (test_tensorrt_generations.py) proves that it does.
ASKED_FOR_FIRST = {
    "8.6.1": {"IProgressMonitor", "progress_monitor", "OnnxParserRefitter"},
    "11.4.0.106": {"device_memory_size", "create_execution_context_without_device_memory"},
}
_FAULT = re.compile(r"^(\S+\.py):(\d+): error: (.*?)  \[([a-z-]+)\]$", re.MULTILINE)
_LACKS = re.compile(r'has no attribute "(\w+)"|Name "trt\.(\w+)" is not defined')


class _ModuleForValue(ast.NodeTransformer):
    """Takes `trt`, as parameter, variable or attribute of self, for the imported module."""

    def visit_FunctionDef(self, node):
        self.generic_visit(node)
        for argument in node.args.args:
            if argument.arg == "trt":
                argument.arg = "_trt"
        return node

    def visit_Assign(self, node):
        if any(isinstance(t, ast.Name) and t.id == "trt" for t in node.targets):
            return ast.Pass()
        return self.generic_visit(node)

    def visit_Attribute(self, node):
        self.generic_visit(node)
        own = isinstance(node.value, ast.Name) and node.value.id == "self" and node.attr == "_trt"
        return ast.Name("trt", ast.Load()) if own else node


def seam_copy(source: str) -> str:
    """A file of the seam with the module in place of the value."""
    tree = ast.fix_missing_locations(_ModuleForValue().visit(ast.parse(source)))
    first = "from __future__ import annotations"
    return ast.unparse(tree).replace(first, f"{first}\nimport tensorrt as trt", 1)


def readable_stub(text: str) -> str:
    """The generated stub as mypy can read it: what pybind11 prints is not always Python.

    Two facts of the bindings that their docstrings do not tell are put in: a shape may be given as
    a tuple, and host memory has the buffer protocol.
    """
    lines = text.splitlines()
    for _ in range(len(lines)):
        try:
            ast.parse("\n".join(lines))
        except SyntaxError as error:
            at = (error.lineno or 1) - 1
            signature = re.match(r"(\s*def \w+)\(", lines[at])
            assert signature is not None, lines[at]
            lines[at] = f"{signature.group(1)}(self, *arguments: typing.Any) -> typing.Any:"
        else:
            break
    text = re.sub(r"(: |-> |\[)Dims\b", r"\1tuple[int, ...]", "\n".join(lines))
    buffer = "    def __buffer__(self, flags: int, /) -> memoryview: ..."
    return text.replace("class IHostMemory:", f"class IHostMemory:\n{buffer}")


@pytest.fixture(scope="module", params=VERSIONS)
def checked(request, pytestconfig, tmp_path_factory):
    """Checks sources against the stubs of one generation; gives what they lack and other faults."""
    pytest.importorskip("pybind11_stubgen", reason="pip install 'gasedge[dev]'")
    work = unpacked_bindings(request.param, pytestconfig, tmp_path_factory.mktemp("stubs"))
    module = "tensorrt_bindings.tensorrt"
    subprocess.run(
        [sys.executable, "-m", "pybind11_stubgen", module, "-o", "made", "--ignore-all-errors"],
        env=os.environ | {"LD_LIBRARY_PATH": str(work), "PYTHONPATH": str(work)},
        cwd=work,
        capture_output=True,
        check=True,
    )
    made = (work / "made/tensorrt_bindings/tensorrt.pyi").read_text()
    stub = work / "typed/tensorrt/__init__.pyi"
    stub.parent.mkdir(parents=True)
    stub.write_text(readable_stub(made))

    def check(sources: dict[str, str]):
        folder = tmp_path_factory.mktemp("seam")
        for name, source in sources.items():
            (folder / name).write_text(seam_copy(source))
        done = subprocess.run(
            [
                *(sys.executable, "-m", "mypy", "--config-file=", "--python-version", "3.12"),
                *("--follow-imports=silent", "--ignore-missing-imports"),
                *("--explicit-package-bases", "--disable-error-code=override"),
                # a base class that is chosen at run time
                *("--disable-error-code=valid-type", "--disable-error-code=misc"),
                *("--cache-dir", str(work / "cache"), *sorted(sources)),
            ],
            env=os.environ | {"MYPYPATH": os.pathsep.join([str(stub.parents[1]), str(ROOT)])},
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in (0, 1), done.stdout + done.stderr
        found = [(f[0], f[2]) for f in _FAULT.findall(done.stdout) if f[0] in sources]
        lacks = {"".join(names) for _, said in found for names in _LACKS.findall(said)}
        return lacks, [fault for fault in found if not _LACKS.search(fault[1])]

    return request.param, check


@pytest.mark.slow
def test_every_call_of_the_seam_exists_in_this_generation_with_these_types(checked):
    version, check = checked
    lacks, others = check({Path(name).name: (ROOT / name).read_text() for name in SEAM})
    assert lacks == ASKED_FOR_FIRST.get(version, set())
    assert others == []


@pytest.mark.slow
def test_call_that_a_generation_lacks_or_takes_otherwise_is_found(checked):
    version, check = checked
    source = """from __future__ import annotations
def use(trt):
    engine = trt.Runtime(trt.Logger()).deserialize_cuda_engine(b"")
    engine.num_bindings
    engine.create_execution_context().set_tensor_address("frames", "no address")
"""
    lacks, others = check({"wrong.py": source.replace("def use(trt):", "def use(trt) -> None:")})
    assert lacks == (set() if version.startswith("8.") else {"num_bindings"})
    assert any('"set_tensor_address"' in said for _, said in others)
