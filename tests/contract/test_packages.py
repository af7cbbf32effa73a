"""A missing package is named together with the extra that brings it."""

from __future__ import annotations

import pytest

from contract.errors import MissingPackageError
from contract.packages import need, versions_of


@pytest.fixture
def on_path(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_package_that_is_there_is_given():
    assert need("json", extra="train").loads("1") == 1


def test_missing_package_names_the_extra_and_the_command():
    with pytest.raises(MissingPackageError, match=r"no_such_one .*pip install 'gasedge\[train\]'"):
        need("no_such_one", extra="train")


@pytest.mark.parametrize(
    "line",
    [
        "import no_such_one_either",
        "raise OSError('libnvinfer.so.10: cannot open shared object file')",
        "raise ImportError('three\\nlong\\nlines')",
    ],
)
def test_package_that_does_not_load_is_one_line_too(line, on_path):
    name = f"broken_{abs(hash(line))}"
    (on_path / f"{name}.py").write_text(line)
    with pytest.raises(MissingPackageError, match=name) as error:
        need(name, extra="cpu")
    assert "\n" not in str(error.value)


def test_fault_inside_a_package_is_not_taken_for_a_missing_one(on_path):
    (on_path / "faulty_one.py").write_text("raise ValueError('a bug')")
    with pytest.raises(ValueError, match="a bug"):
        need("faulty_one", extra="cpu")


def test_versions_leave_out_what_is_not_installed():
    assert list(versions_of(["numpy", "no-such-distribution"])) == ["numpy"]
