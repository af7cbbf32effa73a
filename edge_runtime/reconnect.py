"""How long to wait before trying again: exponential back-off with full jitter and a cap.

Full jitter spreads the attempts of many devices over the whole interval, so that a switch that
comes back is not met by all of them at once (Brooker, "Exponential Backoff And Jitter", 2015).
"""

from __future__ import annotations

__all__ = ["back_off_s"]


def back_off_s(
    attempt: int, chance: float, *, base_s: float = 0.5, cap_s: float = 30.0, floor_s: float = 0.05
) -> float:
    """Seconds to wait before the next attempt.

    Args:
        attempt: failures since the last success, from 1.
        chance: a random number in 0..1, drawn by the caller.
        base_s: upper bound after the first failure; it doubles with each further one.
        cap_s: largest upper bound.
        floor_s: smallest wait, so that luck does not make a busy loop.
    """
    # the exponent is bounded: after weeks of failures 2**attempt would overflow a float
    bound = min(cap_s, base_s * 2.0 ** min(attempt - 1, 32))
    return max(floor_s, chance * bound)
