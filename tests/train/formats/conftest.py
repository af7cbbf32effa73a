"""Other tools' exports, made small and by hand."""

from __future__ import annotations

import cv2
import numpy as np
import pytest


@pytest.fixture
def mosaics(tmp_path):
    """Two mosaics of 2 x 2 tiles of 32 pixels and 5 frames; a tile's grey tells which it is."""
    source = tmp_path / "mosaics"
    (source / "grids").mkdir(parents=True)
    rows = ["grid,row,col,smoke_label,status"]
    for number, name in enumerate(("north.avi", "south.avi")):
        frame = np.zeros((64, 64, 3), np.uint8)
        for row in range(2):
            for col in range(2):
                level = 20 + 100 * number + 25 * (2 * row + col)
                frame[row * 32 : row * 32 + 32, col * 32 : col * 32 + 32] = level
                smoke = int(col == 1)
                status = "dup" if (number, row, col) == (1, 0, 0) else "ok"
                rows.append(f"{name},{row},{col},{smoke},{status}")
        codec = cv2.VideoWriter_fourcc(*"MJPG")
        video = cv2.VideoWriter(str(source / "grids" / name), codec, 12.0, (64, 64))
        for _ in range(5):
            video.write(frame)
        video.release()
    (source / "tiles.csv").write_text("\n".join(rows) + "\n")
    return source
