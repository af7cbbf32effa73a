"""The kernels compile for every device class, and what is shipped was compiled from them."""

from __future__ import annotations

import pytest

from contract.errors import EngineError, IntegrityError, MissingPackageError
from edge_runtime.cuda import kernel_images
from edge_runtime.cuda.kernel_images import TARGETS, check_images, image_for, kernel_sources


@pytest.fixture(scope="module")
def compilers():
    from edge_runtime.cuda.nvrtc import find_nvrtc

    try:
        return find_nvrtc()
    except MissingPackageError as error:
        pytest.skip(str(error))


def compiler_for(compilers, target):
    number = int(target.partition("_")[2])
    found = next((each for each in compilers if number in each.architectures), None)
    return found or pytest.skip(f"no NVRTC here knows {target}")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kernel", sorted(kernel_sources()))
def test_every_kernel_compiles_for_every_device_class(compilers, kernel, target):
    source = kernel_sources()[kernel].read_text()
    image = compiler_for(compilers, target).compile(source, target)
    assert kernel.encode() in image
    start = b"\x7fELF" if target.startswith("sm_") else b"//"
    assert image.startswith(start)


def test_source_that_does_not_compile_is_named_with_the_compilers_words(compilers):
    with pytest.raises(EngineError, match=r"sm_87.*undefined"):
        compiler_for(compilers, "sm_87").compile("__global__ void k() { missing(); }", "sm_87")


def test_shipped_images_were_compiled_from_the_source_beside_them():
    assert check_images() == []


def test_a_changed_source_a_changed_image_and_a_lost_image_are_found(tmp_path, monkeypatch):
    import shutil

    for name in ("kernels", "cubins"):
        shutil.copytree(kernel_images.CUBINS.parent / name, tmp_path / name)
    monkeypatch.setattr(kernel_images, "CUBINS", tmp_path / "cubins")
    monkeypatch.setattr(kernel_images, "INDEX", tmp_path / "cubins" / "index.json")
    monkeypatch.setattr(kernel_images, "_SOURCES", tmp_path / "kernels")
    assert check_images() == []
    with (tmp_path / "kernels" / "fit_picture.cu").open("a") as source:
        source.write("// changed\n")
    (tmp_path / "cubins" / "mask_summary.sm_87.cubin").write_bytes(b"changed")
    (tmp_path / "cubins" / "mask_summary.sm_90.cubin").unlink()
    faults = check_images()
    assert len(faults) == 3
    for part in ("another source", "is not the image", "no image for sm_90"):
        assert sum(part in fault for fault in faults) == 1
    with pytest.raises(IntegrityError, match="was changed"):
        image_for("mask_summary", "8.7")


@pytest.mark.parametrize(
    ("capability", "expected"),
    [("8.7", "sm_87"), ("9.0", "sm_90"), ("11.0", "sm_110")]
    + [(other, "compute_75") for other in ("7.5", "8.0", "8.6", "8.8", "8.9", "10.0", "12.1")],
)
def test_a_gpu_gets_its_own_code_or_ptx(capability, expected):
    suffix = "ptx" if expected.startswith("compute") else "cubin"
    shipped = kernel_images.CUBINS / f"fit_picture.{expected}.{suffix}"
    assert image_for("fit_picture", capability) == shipped.read_bytes()


def test_an_older_gpu_is_refused():
    with pytest.raises(EngineError, match=r"compute capability 7\.2"):
        image_for("fit_picture", "7.2")


def test_code_for_jetpack_5_and_6_is_not_from_a_newer_compiler():
    """Drivers of CUDA 11.4 and 12.6 load no code that CUDA 13 compiled."""
    index = kernel_images.Index.model_validate_json(kernel_images.INDEX.read_bytes())
    for images in index.images.values():
        built_by = {image.target: image.nvrtc for image in images}
        assert built_by["sm_87"].startswith("11.")
        assert built_by["compute_75"].startswith("11.")
