"""Picture files, as they lie in data folders, bundles and replayed folders."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import cv2
import numpy as np

from contract.errors import InputError
from contract.picture_header import BrokenPictureError, size_of_whole_picture
from contract.pictures import read_counts, read_mask_colours, read_mask_values, read_picture
from tests.fuzz.target import BrokenPromiseError, Target

READERS = (read_picture, read_mask_values, read_mask_colours, read_counts)


def seeds():
    picture = np.arange(9 * 11 * 3, dtype=np.uint8).reshape(9, 11, 3)
    grey = np.arange(7 * 5, dtype=np.uint8).reshape(7, 5)
    counts = np.arange(6 * 4, dtype=np.uint16).reshape(6, 4) * 1000
    kinds = [(kind, picture) for kind in (".png", ".jpg", ".bmp", ".tif", ".webp")]
    kinds += [(".png", grey), (".png", counts), (".tif", counts)]
    made = [cv2.imencode(kind, pixels)[1].tobytes() for kind, pixels in kinds]
    lossless = [cv2.IMWRITE_WEBP_QUALITY, 101]
    made.append(cv2.imencode(".webp", picture, lossless)[1].tobytes())
    return made


@contextlib.contextmanager
def opened():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture"

        def run(data):
            size = None
            with contextlib.suppress(BrokenPictureError):
                size = size_of_whole_picture(data)
            path.write_bytes(data)
            for reader in READERS:
                try:
                    pixels = reader(path)
                except InputError:
                    continue
                if size is None:
                    raise BrokenPromiseError("a picture was decoded that is not whole")
                # a rotation in Exif exchanges the two
                if sorted(pixels.shape[:2]) != sorted(size):
                    raise BrokenPromiseError(f"a picture of {size} was decoded as {pixels.shape}")

        yield run


# A header may ask for the 64 million pixels that are allowed; each reader decodes them.
TARGET = Target("picture files", opened, seeds, max_bytes=8192, limit_s=10.0)
