"""Which pictures show the same view, though no byte of them is equal.

A picture is reduced to 32 x 32 grey pixels, each less its surroundings and divided by how much
these vary: what is left is where things stand, whatever the light, the smoke before them or how
the file was packed. The correlation of two of these is their likeness. Fields of one fixed camera
on two days reach 0.8, and so do two composites over one photograph; other landscapes with a
horizon at the same height stay below 0.7. Mirrored copies are found too, but must be more alike:
many a landscape is like its own mirror image.

A picture without detail, such as fog, is like no other; a crop is not like its whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from contract.packages import need

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SAME_VIEW", "look_of", "same_view"]

SAME_VIEW = 0.8
_MIRRORED = 0.9
_SIDE = 32  # pixels of the reduced picture
_REACH = 2.0  # pixels; standard deviation of what counts as surroundings
_FAINT = 3.0  # grey levels; detail below this is rather noise
_LEAST = 8.0  # length of the reduced picture below which it has no detail
_ROWS = 1024  # compared at a time, to bound memory


def look_of(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Reduce an (h, w, 3) BGR picture to its look: (1024,), of length 1, or 0 without detail."""
    cv2 = need("cv2", extra="cpu")
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    detail = small - cv2.GaussianBlur(small, (0, 0), _REACH)
    look = detail / (np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), _REACH)) + _FAINT)
    look = (look - look.mean()).ravel()
    length = float(np.linalg.norm(look))
    return np.asarray(look / length if length > _LEAST else np.zeros_like(look), np.float32)


def same_view(looks: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Find every pair of pictures of the same view among looks (N, 1024).

    Returns:
        Positions of the first and of the second of each pair, first < second.
    """
    mirrored = looks.reshape(-1, _SIDE, _SIDE)[:, :, ::-1].reshape(looks.shape)
    firsts, seconds = [np.empty(0, np.intp)], [np.empty(0, np.intp)]
    for start in range(0, len(looks), _ROWS):
        rows = looks[start : start + _ROWS]
        alike = rows @ looks[start:].T >= SAME_VIEW
        alike |= rows @ mirrored[start:].T >= _MIRRORED
        one, other = np.nonzero(np.triu(alike, 1))
        firsts.append(one + start)
        seconds.append(other + start)
    return np.concatenate(firsts), np.concatenate(seconds)
