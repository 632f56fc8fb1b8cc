from __future__ import annotations

from dataclasses import replace

import pytest

from givre.models.architecture import NAMED_POINTS, Architecture, n_levels_for, tensor_specs
from givre.models.complexity import mac_per_pixel
from givre.models.context import context_offsets, wavefront_step
from givre.models.exact.wavefront import waves
from givre.models.geometry import grids


def test_grids_are_halved_and_rounded_up() -> None:
    arch = replace(NAMED_POINTS["lop"], n_levels=5, n_hyper=2)
    sizes = {g.label: (g.height, g.width) for g in grids(arch, width=17, height=5)}
    assert sizes == {
        "y0": (5, 17),
        "y1": (3, 9),
        "y2": (2, 5),
        "y3": (1, 3),
        "h3": (1, 3),
        "y4": (1, 2),
        "h4": (1, 2),
    }
    assert list(sizes) == ["y0", "y1", "y2", "y3", "h3", "y4", "h4"]


def test_contexts_are_causal_and_nearest_first() -> None:
    offsets = context_offsets(40)
    assert len(set(offsets)) == 40
    assert all(dy < 0 or (dy == 0 and dx < 0) for dy, dx in offsets)
    assert all(abs(dy) <= 4 and abs(dx) <= 4 for dy, dx in offsets)
    distances = [dy * dy + dx * dx for dy, dx in offsets]
    assert distances == sorted(distances)
    assert offsets[:4] == ((0, -1), (-1, 0), (-1, -1), (-1, 1))


@pytest.mark.parametrize("n_spatial", range(1, 41))
def test_every_neighbour_lies_in_an_earlier_wave_and_the_step_is_the_smallest(
    n_spatial: int,
) -> None:
    step = wavefront_step(n_spatial)
    offsets = context_offsets(n_spatial)
    assert all(dx + step * dy < 0 for dy, dx in offsets)
    if step > 1:
        assert any(dx + (step - 1) * dy >= 0 for dy, dx in offsets)


def test_steps_of_the_named_points() -> None:
    steps = {name: wavefront_step(arch.n_spatial) for name, arch in NAMED_POINTS.items()}
    assert steps == {"lop": 2, "mop": 3, "hop": 3, "vhop": 4}


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (7, 1), (5, 3), (4, 11)])
@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_waves_visit_every_pixel_once(height: int, width: int, step: int) -> None:
    seen = [
        (y, t - step * y)
        for t, first, last in waves(height, width, step)
        for y in range(first, last)
    ]
    assert sorted(seen) == [(y, x) for y in range(height) for x in range(width)]


def test_complexity_of_the_named_points() -> None:
    total = {n: mac_per_pixel(a, 768, 512)["total"] for n, a in NAMED_POINTS.items()}
    assert 400 < total["lop"] < 600
    assert 900 < total["mop"] < 1100
    assert 1800 < total["hop"] < 2000
    assert 2700 < total["vhop"] < 3000


def test_complexity_is_the_sum_of_a_count_by_hand() -> None:
    arch = Architecture(
        n_spatial=1, n_features=1, synthesis_hidden=2, n_residual=1, n_arm_hidden=1,
        ups_k_size=4, ups_preconcat_k_size=3, n_levels=2, n_hyper=0, n_channels=1,
    )  # fmt: skip
    macs = mac_per_pixel(arch, width=4, height=2)
    # 8 + 2 latents, each 2x2 hidden + 2x2 output + 2x2 stabiliser
    assert macs["arm"] == (8 + 2) * 12 / 8
    # one linear map 1 -> 1 on each of the 2 half-size pixels
    assert macs["ifce"] == 2 / 8
    # rows pass: 2 x 2 outputs of 2 taps; columns pass: 2 x 4 outputs of 2 taps; 2 x 3 taps x 8
    assert macs["upsampling"] == (4 * 2 + 8 * 2 + 2 * 3 * 8) / 8
    # 2 -> 2 -> 1, one 3x3 layer, a linear branch 2 -> 1
    assert macs["synthesis"] == 4 + 2 + 9 + 2


def test_number_of_levels_follows_the_size() -> None:
    assert [n_levels_for(1000, h) for h in (999, 1000, 2999, 3000)] == [7, 8, 8, 9]


@pytest.mark.parametrize(
    "change",
    [{"n_spatial": 0}, {"n_spatial": 41}, {"ups_k_size": 5}, {"ups_preconcat_k_size": 4},
     {"n_channels": 5}, {"n_levels": 1}, {"n_levels": 4, "n_hyper": 2}],
)  # fmt: skip
def test_impossible_architectures_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        replace(NAMED_POINTS["hop"], **change)  # type: ignore[arg-type]


def test_tensor_names_are_unique() -> None:
    names = [spec.name for spec in tensor_specs(NAMED_POINTS["vhop"])]
    assert len(names) == len(set(names))
