"""`[leak]`, zones and ignored polygons: when gas counts as a leak, and where."""

from __future__ import annotations

from itertools import combinations
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from contract.config import Section

__all__ = ["IgnoreConfig", "LeakConfig", "LeakRule", "Point", "ZoneConfig"]

Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=86_400)]
Pixel = Annotated[float, Field(ge=0, le=65_535, allow_inf_nan=False)]
Point = tuple[Pixel, Pixel]


class LeakRule(Section):
    """From masks to a leak state. On values are higher than off values: hysteresis."""

    score_on: Share = 0.60  # mean gas probability of the gas pixels
    score_off: Share = 0.45
    area_on: Share = 0.001  # gas pixels as a share of the valid field
    area_off: Share = 0.0005
    votes: Annotated[int, Field(ge=1, le=1000)] = 8  # frames with gas ...
    window: Annotated[int, Field(ge=1, le=1000)] = 15  # ... of so many
    on_delay_s: Seconds = 2.0
    off_delay_s: Seconds = 30.0

    @model_validator(mode="after")
    def _off_below_on(self) -> LeakRule:
        for name in ("score", "area"):
            on, off = getattr(self, f"{name}_on"), getattr(self, f"{name}_off")
            if off > on:
                raise ValueError(f"{name}_off = {off} is above {name}_on = {on}")
        if self.votes > self.window:
            raise ValueError(f"votes = {self.votes} can never be reached in window = {self.window}")
        return self


class LeakConfig(LeakRule):
    """`[leak]`: the rule, and how masks are smoothed and checked for motion before it."""

    smooth_s: Annotated[float, Field(ge=0, le=60)] = 0.5  # time constant of the score's smoothing
    # unrest over that of the rest of the picture below which gas stands still and is a suspect
    # only; 0: gas that stands still is a leak, too
    motion_over_rest: Annotated[float, Field(ge=0, le=100)] = 1.8


class _Area(Section):
    """A polygon in the picture's own pixels; it closes itself."""

    polygon: Annotated[tuple[Point, ...], Field(min_length=3, max_length=64)]

    @field_validator("polygon")
    @classmethod
    def _is_simple(cls, points: tuple[Point, ...]) -> tuple[Point, ...]:
        if len(set(points)) < len(points):
            raise ValueError("names a point twice; it closes itself")
        edges = list(zip(points, (*points[1:], points[0]), strict=True))
        for (first, a), (second, b) in combinations(enumerate(edges), 2):
            neighbours = second - first == 1 or (first == 0 and second == len(edges) - 1)
            if not neighbours and _cross(*a, *b):
                raise ValueError(
                    f"crosses itself: the edge from {_text(a[0])} meets the one from {_text(b[0])}"
                )
        if abs(_twice_area(points)) < 2:
            raise ValueError("has no area")
        return points

    def outside(self, size: tuple[int, int]) -> Point | None:
        """The first point that is not in a picture of (width, height) pixels."""
        return next((p for p in self.polygon if p[0] > size[0] or p[1] > size[1]), None)


class IgnoreConfig(_Area):
    """`[[camera.ignore]]`: pixels that never count, such as a steam vent."""


class ZoneConfig(_Area):
    """`[[camera.zone]]`: a part of the picture with a leak state of its own."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    leak: LeakRule | None = None  # instead of the camera's rule


def _twice_area(points: tuple[Point, ...]) -> float:
    following = (*points[1:], points[0])
    return sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(points, following, strict=True))


def _side(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether two line segments share a point."""
    ends = _side(a, b, c), _side(a, b, d), _side(c, d, a), _side(c, d, b)
    if ends[0] * ends[1] < 0 and ends[2] * ends[3] < 0:
        return True
    touching = ((ends[0], a, b, c), (ends[1], a, b, d), (ends[2], c, d, a), (ends[3], c, d, b))
    return any(
        side == 0
        and min(p[0], q[0]) <= r[0] <= max(p[0], q[0])
        and min(p[1], q[1]) <= r[1] <= max(p[1], q[1])
        for side, p, q, r in touching
    )


def _text(point: Point) -> str:
    return f"({point[0]:g}, {point[1]:g})"
