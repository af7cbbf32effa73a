"""A still camera's view of a plant with a moving gas or smoke plume, with its truth, from a seed.

It stands in for a camera in demonstrations and teaches a network what no public picture labels:
machines, infrared gas, and what must not be taken for gas. A frame depends on (kind, size, seed,
options, index) alone, so any frame can be had without those before it.

The light follows Beer and Lambert: of what is behind, exp(-k * column density) comes through. In
the infrared the rest is the gas's own glow, so gas is bright before what is colder than it, dark
before what is warmer, and not to be seen before what is as warm; smoke scatters light, less on
its far side from the sun, and the air between adds airlight (Koschmieder). A pixel is gas-smoke
in the mask where the plume changes the picture by more than the camera's noise hides: physics
decides what is labelled, not the density alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from contract.errors import ConfigError
from contract.label_map import GAS_SMOKE, MACHINE
from contract.simulated_camera import infrared_camera, palette, visible_camera
from contract.simulated_distractors import Distractors, paint_clouds, paint_fog
from contract.simulated_plant import Outlet, Plant
from contract.simulated_plume import Plume, Release
from contract.simulated_terrain import infrared_backdrop, visible_backdrop

__all__ = ["DAZZLING", "DENSITY_UNITS", "KINDS", "LEAST_OPACITY", "SimulatedScene"]

KINDS = ("gas", "smoke")

DENSITY_UNITS = {"gas": "ppm m", "smoke": "mg/m2"}
"""Of a column density: methane's mixing ratio times path, and the smoke's mass a square metre."""

LEAST_OPACITY = 0.03
"""A pixel that the plume hides less than this is no gas-smoke, however great the contrast."""

DAZZLING = 0.08
"""Share of a plume's greatest contrast below which its rim is lost beside its core."""

_ABSORPTION = 2e-4  # of methane per ppm m, mean over a gas camera's band near 3.3 um, thin limit
_EXTINCTION = {
    "soot": 8.7e-3,
    "wood": 4.0e-3,
}  # m2/mg; Mulholland & Croarkin 2000, Reid et al. 2005
_COLOUR_EXTINCTION = np.array((1.25, 1.0, 0.82), np.float32)  # blue is scattered more than red
_FULL = 60.0  # frame at which a plume's density is gauged

_NOTHING = 1e-3  # an optical thickness that changes no level
_ROUND_IT = 8  # pixels round a plume that the optics may blur it into

Float = NDArray[np.float32]


class SimulatedScene:
    """One camera that is mounted in one place.

    Args:
        kind: "gas" (seen by an infrared camera) or "smoke" (by a visible one).
        width: of a frame in pixels, 32 or more.
        height: of a frame in pixels, 32 or more.
        seed: decides everything random; equal seeds give equal frames.
        grey: grey frames, all three channels equal; None means grey for gas only. Gas in colour has
            a thermal camera's false colours.
        plume: whether there is a plume; None leaves it to the seed (five in six have one).
        onset: frame at which the plume begins to come out; None means that it blows already.
        distractors: whether there are clouds, fog, steam, people, vehicles, dirt, shaking or
            flicker; None leaves it to the seed (half have some).
        large: whether its leak is a large and dense one that stands out, which a network learns in
            minutes; else it may be as faint and small as real ones often are.

    Raises:
        ConfigError: for an unknown kind or too small a frame.
    """

    def __init__(  # noqa: PLR0913 - one argument a wish
        self,
        kind: str,
        width: int,
        height: int,
        seed: int,
        grey: bool | None = None,  # noqa: FBT001 - a property of the camera
        *,
        plume: bool | None = None,
        onset: int | None = None,
        distractors: bool | None = None,
        large: bool = False,
    ) -> None:
        if kind not in KINDS:
            raise ConfigError(f"simulated scene of kind {kind!r}; kinds are {' and '.join(KINDS)}")
        if width < 32 or height < 32:
            raise ConfigError(f"simulated scene of {width}x{height}; at least 32x32 is needed")
        self.kind, self.width, self.height, self.seed = kind, width, height, seed
        self.grey = kind == "gas" if grey is None else grey
        self._infrared = kind == "gas"
        self._large = large
        self._onset = -np.inf if onset is None else float(onset)
        random = np.random.default_rng([seed, KINDS.index(kind), 7])
        has_plume, has_distractors = bool(random.random() < 5 / 6), bool(random.random() < 0.5)
        self.has_plume = has_plume if plume is None else plume
        self.has_distractors = has_distractors if distractors is None else distractors
        make = infrared_backdrop if self._infrared else visible_backdrop
        self._backdrop = make(random, width, height)
        self._still = self._backdrop.canvas
        plant = self._plant(random)
        self._machines = plant.covered
        self._layer = int(random.integers(1, self._backdrop.layers + 1))
        source = self._source(random, plant)
        self._weather(np.random.default_rng(random.integers(1 << 62)))
        others = [each.place for each in plant.outlets if each.place != source.place]
        self._distractors = Distractors(random, self._still, others, active=self.has_distractors)
        self._hidden = (self._backdrop.depth > self._layer) | (
            self._machines if self._backdrop.is_open else False
        )
        self._plume = Plume(self._release(random, source, plant), random, width, height)
        self._light(random)

    def frame(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Give frame `index` (0 or more): picture (h, w, 3) BGR and class indices (h, w)."""
        time, fixed = float(index), self._distractors
        clear, machines = self._still, self._machines
        if fixed.walkers:
            clear, machines = clear.copy(), machines.copy()
            for walker in fixed.walkers:
                walker.paint(clear, machines, time)
        if fixed.steam is not None:
            opacity = fixed.steam.opacity(time)[..., None]
            clear = clear + opacity * (np.float32(246) - clear)
        mask = np.where(machines, np.uint8(MACHINE), np.uint8(0))
        seen = clear
        if self.has_plume and index >= self._onset:
            seen, gas = self._through_plume(clear, time)
            mask[gas] = GAS_SMOKE
        return self._taken(seen, mask, index)

    def density(self, index: int) -> Float:
        """Column density (h, w) of what the camera can see of the plume at frame `index`.

        In `DENSITY_UNITS`; 0 where something stands before the plume.
        """
        if not self.has_plume or index < self._onset:
            return np.zeros((self.height, self.width), np.float32)
        return self._shaken(self._column(float(index)), index)

    def _column(self, time: float) -> Float:
        density: Float = self._plume.density(time, self._onset) * np.float32(self._per_filament)
        density[self._hidden] = 0
        return density

    def _through_plume(self, clear: Float, time: float) -> tuple[Float, NDArray[np.bool_]]:
        """What is seen through the plume, and (h, w) where the plume is to be seen."""
        thickness = self._column(time) * np.float32(self._coefficient)
        gas = np.zeros(thickness.shape, np.bool_)
        box = _box_of(thickness > _NOTHING, _ROUND_IT)
        if box is None:
            return clear, gas
        behind, thin = clear[box], thickness[box]
        if self._infrared:
            hidden = (1 - np.exp(-thin))[..., None]
            change = hidden * (np.float32(self._gas_kelvin) - behind)
            strength = change[..., 0]
        else:
            hidden = 1 - np.exp(-thin[..., None] * _COLOUR_EXTINCTION)
            change = hidden * (self._smoke_light(thickness, box) - behind)
            strength = np.abs(change[..., 0]) + np.abs(change[..., 1]) + np.abs(change[..., 2])
            strength *= np.float32(1 / 3)
        contrast = self._camera.contrast(strength, box)
        least = max(self._camera.least_contrast, DAZZLING * float(contrast.max()))
        gas[box] = (contrast >= least) & (1 - np.exp(-thin) >= LEAST_OPACITY)
        seen = clear.copy()
        seen[box] += change
        return seen, gas

    def _smoke_light(self, thickness: Float, box: tuple[slice, slice]) -> Float:
        """Light (h, w, 3) of a box out of the smoke itself: less where smoke shades smoke."""
        away_x, away_y = self._sunward
        rows = np.clip(np.arange(self.height)[box[0]] + away_y, 0, self.height - 1)
        columns = np.clip(np.arange(self.width)[box[1]] + away_x, 0, self.width - 1)
        above = thickness.take(rows, 0).take(columns, 1)
        lit = np.exp(np.float32(-self._self_shading) * above)
        return np.asarray(lit[..., None] * self._sunlit + self._shadowed, np.float32)

    def _taken(
        self, seen: Float, mask: NDArray[np.uint8], index: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Let the camera take what is seen; it may shake, flicker and be dirty."""
        fixed = self._distractors
        random = np.random.default_rng([self.seed, index, 11])
        seen, mask = self._shaken(seen, index), self._shaken(mask, index)
        picture = self._camera.picture(seen, index, random)
        factor = fixed.brightness(float(index))
        if fixed.dirt is not None or factor != 1:
            dirt = 0 if fixed.dirt is None else fixed.dirt[..., None]
            changed = picture * np.asarray((1 + dirt) * factor, np.float32)
            picture = np.clip(changed, 0, 255).astype(np.uint8)
        if self._infrared and not self.grey:
            return palette(picture), mask
        if picture.shape[2] == 3 and self.grey:
            weights = np.array((29, 150, 77), np.uint16)  # of 256, as in BT.601
            picture = ((picture * weights).sum(2, keepdims=True) >> 8).astype(np.uint8)
        return np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture, mask

    def _shaken(self, plane: NDArray, index: int) -> NDArray:  # type: ignore[type-arg]
        across, down = self._distractors.shift(float(index))
        if not across and not down:
            return plane
        rows = np.clip(np.arange(self.height) + down, 0, self.height - 1)
        columns = np.clip(np.arange(self.width) + across, 0, self.width - 1)
        return plane.take(rows, 0).take(columns, 1)

    def _plant(self, random: np.random.Generator) -> Plant:
        """Paint the machines; land seen from afar may have a mast or none."""
        warmth = 0.0
        if self._infrared:
            sign = 1 if random.random() < 0.75 else -1
            warmth = float(self._still.mean()) + sign * random.uniform(3, 14)
        plant = Plant(random, self._still, warmth)
        if self._backdrop.is_open:
            for _ in range(int(random.choice(3, p=[0.45, 0.4, 0.15]))):
                plant.paint_mast()
        elif random.random() < (0.45 if self._infrared else 0.15):
            plant.paint_lone_pipe()
        else:
            plant.paint_machines(int(random.integers(2, 6)))
        return plant

    def _source(self, random: np.random.Generator, plant: Plant) -> Outlet:
        """A machine's outlet in the picture, or a place on the land."""
        width, height = self.width, self.height
        near = [
            each
            for each in plant.outlets
            if 0.03 * width < each.place.real < 0.97 * width
            and 0.08 * height < each.place.imag < 0.97 * height
        ]
        pick, x = float(random.random()), float(random.uniform(0.05, 0.95)) * width
        deep = float(random.uniform(0, 0.08)) * height
        if near:
            return near[int(pick * len(near))]
        line = self._backdrop.edges[self._layer - 1][int(x)]
        if not self._backdrop.is_open:
            line = height * 0.5
        return Outlet(complex(x, float(np.clip(line + deep, 0.05 * height, 0.97 * height))), -1j)

    def _weather(self, random: np.random.Generator) -> None:
        sky = self._backdrop.depth == 0
        clouds, fog = random.random() < 0.6, random.random() < 0.3
        if not self.has_distractors:
            return
        if clouds and sky.mean() > 0.1:
            paint_clouds(random, self._still, sky)
        if fog and not self._infrared:
            line = float(random.uniform(0.2, 0.9)) * self.height
            paint_fog(random, self._still, self._backdrop.airlight, line)

    def _release(self, random: np.random.Generator, source: Outlet, plant: Plant) -> Release:
        size = min(self.width, self.height)
        far = self._backdrop.is_open
        least, most = (0.6, 1.3) if self._large else (0.07, 1.3) if far else (0.2, 1.2)
        reach = size * float(np.exp(random.uniform(np.log(least), np.log(most))))
        life = random.uniform(45, 120)
        speed = reach / life
        buoyant = random.uniform(0.2, 1.0) if not self._infrared else random.uniform(-0.5, 0.6)
        side = random.choice([-1, 1])
        narrow = (0.01, 0.04) if self._infrared else (0.02, 0.1 if far else 0.06)
        narrow = (0.04, 0.1) if self._large else narrow
        return Release(
            source=source.place,
            wind=complex(speed * random.uniform(0.1, 1) * side, speed * random.uniform(-0.15, 0.1)),
            gusts=random.uniform(0, 0.8),
            turbulence=speed * random.uniform(0.25, 0.9),
            eddy_size=reach * random.uniform(0.15, 0.5),
            nozzle=max(0.5, reach * random.uniform(*narrow)),
            growth=np.sqrt(speed * reach) * random.uniform(0.01, 0.05),
            life=life,
            jet=source.outward * reach * random.uniform(0, 0.3),
            rise=-1j * reach * buoyant,
            pulsing=random.uniform(0, 0.8),
            obstacles=tuple(
                each for each in plant.obstacles if abs(each.centre - source.place) > each.radius
            )[:2],
            ground=self.height * random.uniform(0.9, 1.1) if not far else np.inf,
        )

    def _light(self, random: np.random.Generator) -> None:
        """Set the camera and how thick, warm or bright the plume is."""
        gauge = self._plume.density(_FULL)
        gauge[self._hidden] = 0
        filled = gauge[gauge > gauge.max() * 0.03]
        dense = float(np.quantile(filled, 0.9)) if filled.size else 1.0
        behind = float(np.median(self._still[gauge >= dense])) if filled.size else 0.0
        if self._infrared:
            thick = float(np.exp(random.uniform(np.log(2.5 if self._large else 0.3), np.log(6))))
            self._coefficient = _ABSORPTION
            few = self._still[::3, ::3]
            low, high = (float(each) for each in np.quantile(few, (0.01, 0.99)))
            span = max(high - low, 2.0)
            faintest = np.log(0.6 if self._large else 0.15)
            share = float(np.exp(random.uniform(faintest, np.log(1.2)))) / (1 - np.exp(-thick))
            sign = 1 if random.random() < 0.65 else -1
            self._gas_kelvin = behind + sign * span * min(share, 1.5)
            bounds = min(low, self._gas_kelvin), max(high, self._gas_kelvin)
            if random.random() < 0.15:  # the gain was set without the gas: it saturates
                bounds = low, high
            self._camera = infrared_camera(random, *bounds, self.width, self.height)
        else:
            thick = float(np.exp(random.uniform(np.log(2.5 if self._large else 0.25), np.log(5))))
            self._smoke(random, behind)
            self._camera = visible_camera(
                random, self.width, self.height, lookout=self._backdrop.is_open
            )
        self._per_filament = thick / (dense * self._coefficient)

    def _smoke(self, random: np.random.Generator, behind: float) -> None:
        """Set the smoke's colour under the sun, dimmed and whitened by the air before it."""
        size = min(self.width, self.height)
        kind = random.random()
        if self._large:  # white before what is dark, black before what is bright
            kind = 0.2 if behind < 140 else 0.95
        albedo, low, high = (
            ((1.0, 1.0, 1.0), 170, 252)
            if kind < 0.5
            else ((1.0, 1.0, 1.0), 100, 180)
            if kind < 0.72
            else ((0.68, 0.86, 1.0), 110, 200)
            if kind < 0.86
            else ((1.0, 1.0, 1.0), 18, 60)
        )
        self._coefficient = _EXTINCTION["soot" if kind >= 0.86 else "wood"]
        colour = np.array(albedo, np.float32) * np.float32(random.uniform(low, high))
        colour *= random.uniform(0.96, 1.04, 3).astype(np.float32)
        ambient = np.float32(random.uniform(0.35, 0.85))
        clear = np.float32(self._backdrop.clearness[self._layer - 1])
        air = self._backdrop.airlight
        self._sunlit = colour * (1 - ambient) * clear
        self._shadowed = colour * ambient * clear + air * (1 - clear)
        self._self_shading = float(random.uniform(0.1, 0.9))
        angle = random.uniform(-np.pi * 0.9, -np.pi * 0.1)
        away = size * random.uniform(0.01, 0.05)
        self._sunward = round(np.cos(angle) * away), round(np.sin(angle) * away)


def _box_of(where: NDArray[np.bool_], more: int) -> tuple[slice, slice] | None:
    """Rows and columns of the rectangle round what is true and `more` pixels about it."""
    rows, columns = np.flatnonzero(where.any(1)), np.flatnonzero(where.any(0))
    if not len(rows):
        return None
    return (
        slice(max(0, rows[0] - more), rows[-1] + more + 1),
        slice(max(0, columns[0] - more), columns[-1] + more + 1),
    )
