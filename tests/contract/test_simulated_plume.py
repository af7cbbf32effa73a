"""A simulated plume obeys what is known of wind, eddies, buoyancy and mass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from contract.simulated_noise import EDDY_SIDE, eddies
from contract.simulated_plume import Obstacle, Plume, Release

SIDE = 160
STEADY = Release(
    source=30 + 80j,
    wind=1 + 0j,
    gusts=0,
    turbulence=0.3,
    eddy_size=30,
    nozzle=1.5,
    growth=0.3,
    life=80,
    jet=0,
    rise=0,
    pulsing=0,
)


def density(release: Release, time: float = 100, **options) -> np.ndarray:
    return Plume(release, np.random.default_rng(3), SIDE, SIDE).density(time, **options)


def centre(plume: np.ndarray) -> complex:
    y, x = np.indices(plume.shape)
    return complex((x * plume).sum(), (y * plume).sum()) / plume.sum()


def height_of(plume: np.ndarray, column: slice) -> float:
    """Standard deviation across the wind, pixels."""
    profile = plume[:, column].sum(1)
    rows = np.arange(SIDE)
    mean = (rows * profile).sum() / profile.sum()
    return float(np.sqrt(((rows - mean) ** 2 * profile).sum() / profile.sum()))


def test_eddies_neither_gather_nor_lose_air():
    """Divergence, in the frequency plane where it is exact, is nought beside the curl."""
    frequency = np.fft.fftfreq(EDDY_SIDE) * 2j * np.pi
    u, v = np.fft.fft2(eddies().real), np.fft.fft2(eddies().imag)
    divergence = frequency[None, :] * u + frequency[:, None] * v
    curl = frequency[None, :] * v - frequency[:, None] * u
    assert np.abs(divergence).max() < 1e-3 * np.abs(curl).max()


def test_eddies_have_less_energy_the_smaller_they_are_as_kolmogorov_found():
    frequency = np.fft.fftfreq(EDDY_SIDE, 1 / EDDY_SIDE)
    wave = np.hypot(frequency[:, None], frequency[None, :])
    energy = np.abs(np.fft.fft2(eddies().real)) ** 2 + np.abs(np.fft.fft2(eddies().imag)) ** 2
    rings = [energy[(wave >= k) & (wave < k + 1)].sum() for k in (4, 8, 16, 32)]
    slope = np.polyfit(np.log([4.5, 8.5, 16.5, 32.5]), np.log(rings), 1)[0]
    assert slope == pytest.approx(-5 / 3, abs=0.25)


def test_the_wind_carries_the_plume_downwind():
    assert centre(density(STEADY)).real > STEADY.source.real + 20
    against = density(replace(STEADY, source=130 + 80j, wind=-1 + 0j))
    assert centre(against).real < 110


def test_the_plume_widens_downwind():
    plume = density(STEADY)
    assert height_of(plume, slice(70, 90)) > 1.5 * height_of(plume, slice(32, 40))


def test_hot_gas_rises_and_dense_gas_sinks_and_flows_along_the_ground():
    level = centre(density(STEADY)).imag
    assert centre(density(replace(STEADY, rise=-50j))).imag < level - 15
    sinking = replace(STEADY, rise=60j, ground=110.0)
    plume = density(sinking)
    assert centre(plume).imag > level + 10
    assert plume[125:].sum() < 0.03 * plume.sum()


def test_the_wind_goes_round_an_obstacle():
    calm = replace(STEADY, source=30 + 73j, turbulence=0.05)
    tank = Obstacle(80 + 80j, 14.0)
    blown, parted = density(calm), density(replace(calm, obstacles=(tank,)))
    inside = np.hypot(np.arange(SIDE) - 80, np.arange(SIDE)[:, None] - 80) < 9
    assert parted[inside].sum() < 0.1 * blown[inside].sum()
    assert parted[50:71, 75:86].sum() > 0.5 * blown[:, 75:86].sum()


def test_every_filament_is_in_the_picture_once_while_the_plume_is_inside_it():
    """Mass is kept: half the plume's age has half of its filaments."""
    calm = replace(STEADY, wind=0.2 + 0j, turbulence=0.1)
    grown = [density(calm, 100, since=100 - age).sum() for age in (10, 20, 40)]
    assert grown[1] == pytest.approx(2 * grown[0], rel=0.1)
    assert grown[2] == pytest.approx(4 * grown[0], rel=0.12)


def test_nothing_comes_out_before_the_source_opens():
    assert density(STEADY, 50, since=51).sum() == 0
    early, late = (centre(density(STEADY, time, since=50)).real for time in (60, 90))
    assert early < late


def test_a_pulsing_source_lets_out_bursts():
    def unevenness(pulsing: float) -> float:
        calm = replace(STEADY, turbulence=0.05, pulsing=pulsing)
        along = density(calm)[:, 35:85].sum(0)
        return float(along.std() / along.mean())

    assert unevenness(0.8) > 2 * unevenness(0)


def test_far_frames_cost_and_look_like_near_ones():
    plume = Plume(STEADY, np.random.default_rng(3), SIDE, SIDE)
    near, far = plume.density(100), plume.density(1_000_003)
    assert far.sum() == pytest.approx(near.sum(), rel=0.25)
    assert centre(far).real == pytest.approx(centre(near).real, abs=25)
