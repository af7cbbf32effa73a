"""Read a picture or a mask file the one way that every stage reads it, and fit it into the input.

A file is read whole, decoded once, and refused with one clear line when it is empty, truncated,
broken or of an unexpected kind. OpenCV is imported when it is first needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from contract.atomic import sha256_of_bytes
from contract.errors import InputError
from contract.label_map import IGNORE, class_indices
from contract.packages import need
from contract.picture_header import BrokenPictureError, size_of_whole_picture

if TYPE_CHECKING:
    from contract.geometry import InputGeometry

__all__ = [
    "PICTURE_SUFFIXES",
    "bgr_from_any",
    "fit_mask",
    "fit_picture",
    "picture_folder",
    "pictures_in",
    "pixels_sha256",
    "png_of",
    "read_mask",
    "read_mask_colours",
    "read_mask_values",
    "read_picture",
]

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

Picture = NDArray[np.uint8]  # (H, W, 3) BGR
_MAX_PIXELS = 1 << 26


def picture_folder(folder: Path) -> Path:
    """Where the pictures of a data folder lie: in `images/` where there is one, else in itself."""
    inside = Path(folder) / "images"
    return inside if inside.is_dir() else Path(folder)


def pictures_in(folder: Path) -> list[Path]:
    """Every picture file directly in `folder`, sorted by name; hidden ones are left out.

    Raises:
        InputError: when the folder is not there or holds no picture.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: is not a folder")
    found = sorted(
        path
        for path in folder.iterdir()
        # a write that was killed leaves a hidden file behind
        if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")
    )
    if not found:
        raise InputError(f"{folder}: holds no picture ({', '.join(PICTURE_SUFFIXES)})")
    return found


def pixels_sha256(picture: Picture) -> str:
    """Identity of a decoded picture: its shape and pixels, whatever file they came in."""
    return sha256_of_bytes(str(picture.shape).encode() + picture.tobytes())


def png_of(pixels: NDArray[np.uint8]) -> bytes:
    """Pack (h, w) or (h, w, 3) BGR pixels as a PNG, which keeps every one."""
    cv2 = need("cv2", extra="cpu")
    written, data = cv2.imencode(".png", pixels)
    if not written:
        raise RuntimeError(f"OpenCV cannot write a PNG of shape {pixels.shape}")
    return bytes(data)


def read_picture(path: Path) -> Picture:
    """Read a picture as (H, W, 3) uint8 BGR.

    Grey pictures repeat the channel, transparency is dropped, 16-bit pictures keep their high
    byte, and an Exif rotation is applied, as a viewer would show the picture.

    Raises:
        InputError: when the file is missing, empty, truncated, broken or far too large.
    """
    cv2 = need("cv2", extra="cpu")
    # IMREAD_UNCHANGED would ignore the rotation
    return bgr_from_any(_decoded(path, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH), where=str(path))


def read_counts(path: Path) -> NDArray[np.uint16]:
    """Read a 16-bit infrared picture's counts as they are, (H, W) uint16.

    Raises:
        InputError: when the file cannot be read or holds 8 bits a pixel.
    """
    cv2 = need("cv2", extra="cpu")
    counts = _decoded(path, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
    if counts.dtype != np.uint16:
        raise InputError(
            f"{path}: picture is {counts.dtype}; a range of counts is for 16 bits a pixel"
        )
    return np.asarray(counts, np.uint16)


def read_mask(path: Path, meaning: dict[int, int]) -> NDArray[np.uint8]:
    """Read a mask file as (H, W) uint8 class indices by the given meaning of its values.

    Raises:
        InputError: when the file cannot be read, is not 8-bit with equal channels, or holds a
            value that `meaning` does not declare.
    """
    return class_indices(read_mask_values(path), meaning, where=str(path))


def read_mask_values(path: Path) -> NDArray[np.uint8]:
    """Read a mask file's values as they are, (H, W) uint8.

    Raises:
        InputError: when the file cannot be read or is not 8-bit with equal channels.
    """
    cv2 = need("cv2", extra="cpu")
    values = _decoded(path, cv2.IMREAD_UNCHANGED)
    if values.dtype != np.uint8:
        raise InputError(f"{path}: mask is {values.dtype}, expected 8 bits a pixel")
    if values.ndim == 3:
        colours = values[..., :3]
        if not (colours == colours[..., :1]).all():
            raise InputError(
                f"{path}: mask is in colour, expected one grey value a pixel; for masks in colour "
                "declare [colours] in labels.toml"
            )
        values = colours[..., 0]
    return np.ascontiguousarray(values)


def read_mask_colours(path: Path) -> NDArray[np.uint32]:
    """Read a mask file's colours as (H, W) uint32 of 0xRRGGBB; transparency is dropped.

    Raises:
        InputError: when the file cannot be read or is not 8-bit.
    """
    cv2 = need("cv2", extra="cpu")
    pixels = _decoded(path, cv2.IMREAD_UNCHANGED)
    if pixels.dtype != np.uint8:
        raise InputError(f"{path}: mask is {pixels.dtype}, expected 8 bits a channel")
    blue, green, red = np.moveaxis(bgr_from_any(pixels, where=str(path)).astype(np.uint32), 2, 0)
    return np.asarray(red << 16 | green << 8 | blue, np.uint32)


def bgr_from_any(pixels: NDArray[Any], *, where: str) -> Picture:
    """Turn 8- or 16-bit grey, BGR or BGRA pixels into (H, W, 3) uint8 BGR.

    Raises:
        InputError: for any other type or number of channels.
    """
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise InputError(f"{where}: pixels are {pixels.dtype}, expected 8 or 16 bits unsigned")
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    channels = pixels.shape[-1]
    if pixels.ndim != 3 or channels not in (1, 3, 4):
        raise InputError(f"{where}: picture of shape {pixels.shape}, expected 1, 3 or 4 channels")
    if channels == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    return np.ascontiguousarray(pixels[..., :3])


def fit_picture(picture: Picture, geometry: InputGeometry) -> Picture:
    """Lay a (h, w, 3) picture into the (H, W, 3) input; padding is black."""
    cv2 = need("cv2", extra="cpu")
    height, width = picture.shape[:2]
    if (width, height) == (geometry.width, geometry.height):
        return picture
    place = geometry.of(width, height)
    shrinking = place.width < width or place.height < height
    resized = cv2.resize(
        picture,
        (place.width, place.height),
        interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR,
    )
    if (place.width, place.height) == (geometry.width, geometry.height):
        return np.asarray(resized, np.uint8)
    padded = np.zeros((geometry.height, geometry.width, 3), np.uint8)
    padded[place.valid] = resized
    return padded


def fit_mask(mask: NDArray[np.uint8], geometry: InputGeometry) -> NDArray[np.uint8]:
    """Lay an (h, w) mask of class indices into the (H, W) input; padding is IGNORE."""
    cv2 = need("cv2", extra="cpu")
    height, width = mask.shape
    place = geometry.of(width, height)
    laid = np.full((geometry.height, geometry.width), IGNORE, np.uint8)
    laid[place.valid] = cv2.resize(
        mask, (place.width, place.height), interpolation=cv2.INTER_NEAREST_EXACT
    )
    return laid


def _decoded(path: Path, flags: int) -> NDArray[Any]:
    cv2 = need("cv2", extra="cpu")
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        width, height = size_of_whole_picture(data)
    except BrokenPictureError as fault:
        raise InputError(f"{path}: {fault}") from fault
    if not 0 < width * height <= _MAX_PIXELS:
        raise InputError(
            f"{path}: announces {width}x{height} pixels; at most {_MAX_PIXELS} are decoded"
        )
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise InputError(f"{path}: cannot be decoded ({error.err})") from error
    if pixels is None:
        raise InputError(f"{path}: is broken: OpenCV cannot decode it")
    return np.asarray(pixels)
