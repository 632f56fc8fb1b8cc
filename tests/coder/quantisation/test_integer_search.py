"""Integers under a quadratic model: rounding in turn and descent against brute force."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np
import pytest
import torch
from fits import FUSED, REFERENCE

from givre.bitstream.parameters import parameter_bits, parameter_cost_table
from givre.bitstream.rangecoder import PARAMETER_MAX
from givre.bitstream.side_information import GroupGuess, side_bits
from givre.coder.quantisation.integer_search import (
    Doubles,
    Integers,
    Lattice,
    descend,
    round_in_turn,
)

SEEDS = range(24)
NO_BITS = np.zeros((1, 2 * PARAMETER_MAX + 1))
SIDE = np.stack([side_bits(3, None), side_bits(1, None), side_bits(0, GroupGuess(1, 8))])


def plain_lattice(n: int, limit: int = 8) -> Lattice:
    """One group of n parameters with the step 1."""
    return Lattice(np.zeros(n, int), 1, np.ones(n), np.full(n, -limit), np.full(n, limit), SIDE[:1])


def nothing(values: Doubles) -> Doubles:
    """An addition to the diagonal that changes nothing."""
    return np.zeros(len(values))


@dataclass(frozen=True)
class Case:
    """A quadratic that is least at `values`, and what is allowed."""

    curvature: torch.Tensor
    values: Doubles
    lattice: Lattice

    def error(self, integers: Integers) -> float:
        off = integers * self.lattice.steps - self.values
        return float(0.5 * off @ self.curvature.numpy() @ off)

    def cost(self, integers: Integers) -> float:
        return self.error(integers) + self.lattice.bits(integers)

    def table_cost(self, integers: Integers, tables: Doubles) -> float:
        own = tables[self.lattice.groups, integers + PARAMETER_MAX]
        return self.error(integers) + float(own.sum())

    def gradient(self, integers: Integers) -> Doubles:
        off = integers * self.lattice.steps - self.values
        return np.asarray(self.curvature.numpy() @ off)

    def rounded_in_turn(self) -> Integers:
        tables = self.lattice.tables(self.lattice.nearest(self.values))
        return round_in_turn(
            self.curvature, nothing(self.values), self.values, self.lattice, tables, FUSED
        )

    def descended(self, integers: Integers) -> Integers:
        return descend(
            self.curvature,
            nothing(self.values),
            self.gradient(integers),
            integers,
            self.lattice,
            FUSED,
        )


def rounded(
    curvature: torch.Tensor, values: Doubles, lattice: Lattice, tables: Doubles
) -> Integers:
    return round_in_turn(curvature, nothing(values), values, lattice, tables, FUSED)


def random_case(seed: int, n: int, limit: int = 8) -> Case:
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=(n, n))
    matrix = (roots @ roots.T + 0.05 * np.eye(n)) * 10 ** rng.uniform(0, 2)
    return Case(torch.from_numpy(matrix), 3 * rng.normal(size=n), plain_lattice(n, limit))


def grouped_case(seed: int) -> Case:
    """Three groups of different steps, the last of which must stay at zero."""
    rng = np.random.default_rng(seed)
    n = 24
    groups = np.repeat([0, 1, 2], n // 3)
    steps, limits = np.array([0.5, 0.125, 1.0])[groups], np.array([3, 40, 0])[groups]
    roots = rng.normal(size=(n, n))
    matrix = torch.from_numpy((roots @ roots.T + 0.5 * np.eye(n)) * 20)
    return Case(matrix, 1.5 * rng.normal(size=n), Lattice(groups, 3, steps, -limits, limits, SIDE))


# --- the lattice --------------------------------------------------------------------------------


def test_bits_are_those_of_the_file() -> None:
    """A bit for each group, and for one that is not empty those of its step and scale."""
    groups = np.array([0, 0, 0, 1, 1, 2, 2])
    lattice = replace(plain_lattice(7), groups=groups, n_groups=3, side=SIDE)
    integers = np.array([3, 0, -2, 0, 0, 0, 1])
    first = parameter_bits(np.array([3, 0, -2], np.int32))[0] + np.log2(16 * 63)
    last = parameter_bits(np.array([0, 1], np.int32), SIDE[2])[0]
    assert lattice.bits(integers) == pytest.approx(3 + first + last, rel=1e-12)
    assert lattice.bits(np.zeros(7, np.int64)) == 3


def test_tables_are_of_the_scale_that_suits_each_group() -> None:
    groups = np.array([0, 0, 0, 1, 1])
    lattice = replace(plain_lattice(5), groups=groups, n_groups=2, side=SIDE[:2])
    integers = np.array([300, -20, 4, 0, 0])
    tables = lattice.tables(integers)
    assert tables.shape == (2, 2 * PARAMETER_MAX + 1)
    bits, scale = parameter_bits(integers[:3].astype(np.int32))
    assert tables[0, integers[:3] + PARAMETER_MAX].sum() == pytest.approx(bits, rel=1e-12)
    np.testing.assert_array_equal(tables[0], parameter_cost_table(scale))
    assert np.isfinite(tables[1]).all()  # zeros cost next to nothing, but they may be left
    assert tables[1].argmin() == PARAMETER_MAX
    assert tables[1].min() < 0.1


def test_nearest_rounds_and_clips() -> None:
    lattice = Lattice(
        groups=np.zeros(5, int),
        n_groups=1,
        steps=np.array([0.25, 0.25, 1.0, 1.0, 1.0]),
        low=np.array([-8, -8, -2, -2, 0]),
        high=np.array([8, 8, 1, 1, 0]),
        side=SIDE[:1],
    )
    found = lattice.nearest(np.array([0.8, -0.4, 7.0, -7.0, 3.0]))
    assert found.tolist() == [3, -2, 1, -2, 0]
    assert np.issubdtype(found.dtype, np.integer)


# --- rounding in turn ---------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_without_correlation_or_bits_it_is_plain_rounding(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lattice = replace(plain_lattice(30), steps=2.0 ** rng.integers(-4, 1, 30))
    values = rng.uniform(-3, 3, 30) * lattice.steps
    curvature = torch.from_numpy(np.diag(rng.uniform(0.1, 100, 30)))
    found = rounded(curvature, values, lattice, NO_BITS)
    assert found.tolist() == lattice.nearest(values).tolist()


def test_one_parameter_makes_up_for_the_other() -> None:
    """Their sum counts a hundred times as much as their difference."""
    curvature = torch.tensor([[101.0, 99.0], [99.0, 101.0]], dtype=torch.float64)
    case = Case(curvature, np.array([0.4, 0.45]), plain_lattice(2))
    found = round_in_turn(
        curvature, nothing(case.values), case.values, case.lattice, NO_BITS, FUSED
    )
    assert found.sum() == 1
    least = min(case.error(np.array(pair)) for pair in product(range(-3, 4), repeat=2))
    assert case.error(found) == pytest.approx(least)
    assert case.error(found) < 0.1 * case.error(case.lattice.nearest(case.values))


def test_bits_draw_towards_zero_as_far_as_the_error_allows() -> None:
    """Costs of 5 bits for each unit: 1.3 goes to zero where the curvature is below 10 / 1.6."""
    tables = 5.0 * np.abs(np.arange(-PARAMETER_MAX, PARAMETER_MAX + 1))[None]
    curvature = torch.from_numpy(np.diag([6.2, 6.3, 1000.0]))
    values = np.array([1.3, -1.3, 1.3])
    assert round_in_turn(
        curvature, nothing(values), values, plain_lattice(3), tables, FUSED
    ).tolist() == [
        0,
        -1,
        1,
    ]


def test_what_is_left_of_the_values_is_the_least_of_the_quadratic() -> None:
    """With a fine second step the second parameter ends where the first one's error wants it."""
    curvature = torch.tensor([[50.0, 3.0], [3.0, 1.0]], dtype=torch.float64)
    steps, limit = np.array([1.0, 2.0**-10]), np.array([4000, 4000])
    lattice = Lattice(np.zeros(2, int), 1, steps, -limit, limit, SIDE[:1])
    values = np.array([0.3, 0.7])
    first, second = rounded(curvature, values, lattice, NO_BITS) * steps
    assert first == 0
    assert second == pytest.approx(0.7 + 3.0 / 1.0 * 0.3, abs=2.0**-11)


@pytest.mark.parametrize("seed", range(3))
def test_an_addition_to_the_diagonal_is_part_of_the_matrix(seed: int) -> None:
    case = grouped_case(seed)
    extra = np.random.default_rng(seed).uniform(0, 50, len(case.values))
    whole = case.curvature + torch.diag(torch.from_numpy(extra))
    tables = case.lattice.tables(case.lattice.nearest(case.values))
    rounded, expected = (
        round_in_turn(matrix, added, case.values, case.lattice, tables, FUSED)
        for matrix, added in ((case.curvature, extra), (whole, nothing(extra)))
    )
    assert rounded.tolist() == expected.tolist()
    slope = case.gradient(rounded)
    found, expected = (
        descend(matrix, added, slope, rounded, case.lattice, FUSED)
        for matrix, added in ((case.curvature, extra), (whole, nothing(extra)))
    )
    assert found.tolist() == expected.tolist()


@pytest.mark.parametrize("seed", range(5))
def test_limits_hold(seed: int) -> None:
    case = grouped_case(seed)
    lattice = case.lattice
    found = case.rounded_in_turn()
    for integers in (found, case.descended(found), case.descended(0 * found)):
        assert (lattice.low <= integers).all()
        assert (integers <= lattice.high).all()
        assert not integers[lattice.groups == 2].any()
        assert integers[lattice.groups == 1].any()
    assert (np.abs(np.rint(case.values / lattice.steps)) > lattice.high)[lattice.groups == 0].any()


# --- descent ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FixedLattice(Lattice):
    """A lattice on which the scales do not follow the integers."""

    fixed: Doubles = field(default_factory=lambda: NO_BITS)

    def tables(self, integers: Integers) -> Doubles:
        return self.fixed


@pytest.mark.parametrize("make", [lambda seed: random_case(seed, 6), grouped_case])
def test_descent_never_raises_the_cost(make: Callable[[int], Case]) -> None:
    """Neither for fixed tables nor for the real bits, wherever it begins."""
    moved = 0
    for seed in SEEDS:
        case = make(seed)
        lattice = case.lattice
        start = np.random.default_rng(seed).integers(lattice.low, lattice.high + 1)
        found = case.descended(start)
        assert case.cost(found) <= case.cost(start)
        tables = lattice.tables(start)
        fields = (lattice.groups, lattice.n_groups, lattice.steps, lattice.low, lattice.high)
        fixed = replace(case, lattice=FixedLattice(*fields, lattice.side, tables))
        found = fixed.descended(start)
        assert fixed.table_cost(found, tables) <= fixed.table_cost(start, tables)
        moved += found.tolist() != start.tolist()
    assert moved > 0.8 * len(SEEDS)


@pytest.mark.parametrize("make", [lambda seed: random_case(seed, 6), grouped_case])
def test_descent_ends_where_no_step_gains(make: Callable[[int], Case]) -> None:
    for seed in SEEDS:
        case = make(seed)
        found = case.descended(case.rounded_in_turn())
        tables = case.lattice.tables(found)
        reached = case.table_cost(found, tables)
        for i, change in product(range(len(found)), (-1, 1)):
            moved = found.copy()
            moved[i] += change
            if case.lattice.low[i] <= moved[i] <= case.lattice.high[i]:
                assert case.table_cost(moved, tables) > reached - 1e-6


def test_descent_goes_by_the_gradient_it_is_given() -> None:
    """The least of the quadratic need not be known: slope and curvature say where it is."""
    curvature = torch.from_numpy(np.diag([1e4, 1e4, 1e4]))
    start = np.array([2, -1, 0])
    slope = -1e4 * np.array([3.2, 0.1, -2.4])
    found = descend(curvature, nothing(slope), slope, start, plain_lattice(3), FUSED)
    assert found.tolist() == [5, -1, -2]
    assert start.tolist() == [2, -1, 0]


def test_both_together_come_close_to_the_best_of_all() -> None:
    """Against all integers within three of plain rounding, for three parameters.

    They are no bound for each other: now and then plain rounding happens to be better.
    """
    plain, turned, both = [], [], []
    for seed in SEEDS:
        case = random_case(seed, 3, limit=12)
        nearest = case.lattice.nearest(case.values)
        box = product(range(-3, 4), repeat=3)
        least = min(case.cost(nearest + np.array(offset)) for offset in box)
        first = case.rounded_in_turn()
        plain.append(case.cost(nearest) - least)
        turned.append(case.cost(first) - least)
        both.append(case.cost(case.descended(first)) - least)
    assert np.mean(turned) < 0.3 * np.mean(plain)
    assert np.mean(both) <= np.mean(turned)
    assert np.mean(np.array(both) < 1e-6) > 0.6
    assert np.mean(np.array(both) > np.array(plain) + 1e-6) < 0.15


def test_the_same_twice() -> None:
    first, second = (grouped_case(3) for _ in range(2))
    assert first.rounded_in_turn().tolist() == second.rounded_in_turn().tolist()
    ends = [case.descended(case.rounded_in_turn()).tolist() for case in (first, second)]
    assert ends[0] == ends[1]


@pytest.mark.parametrize("seed", range(6))
def test_plain_loops_give_the_same_integers(seed: int) -> None:
    case = random_case(seed, 40)
    tables = case.lattice.tables(case.lattice.nearest(case.values))
    extra = nothing(case.values)
    first, second = (
        round_in_turn(case.curvature, extra, case.values, case.lattice, tables, kernels)
        for kernels in (FUSED, REFERENCE)
    )
    assert np.array_equal(first, second)
    assert first.any()
    start = case.lattice.nearest(case.values)
    slope = case.gradient(start)
    first, second = (
        descend(case.curvature, extra, slope, start, case.lattice, kernels)
        for kernels in (FUSED, REFERENCE)
    )
    assert np.array_equal(first, second)
    assert (first != start).any()
