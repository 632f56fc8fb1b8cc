"""Latent geometry: which integer grids an image has, how large they are, in which order they come.

Level i of the pyramid is ceil(H / 2^i) x ceil(W / 2^i). A level holds one *main* grid, which the
synthesis sees, and the coarsest levels hold a *hyper* grid too, which only the entropy model sees.
"""

from __future__ import annotations

from dataclasses import dataclass

from givre.models.architecture import Architecture

LATENT_MIN, LATENT_MAX = -64, 63
"""Range of a coded latent symbol."""


@dataclass(frozen=True)
class Grid:
    """One integer grid: its pyramid level, its kind and its size in latent pixels."""

    level: int
    hyper: bool
    height: int
    width: int

    @property
    def size(self) -> int:
        """Number of latents in the grid."""
        return self.height * self.width

    @property
    def label(self) -> str:
        """Short name for people, as `y3` or `h5`."""
        return f"{'h' if self.hyper else 'y'}{self.level}"


def level_size(width: int, height: int, level: int) -> tuple[int, int]:
    """(height, width) of a pyramid level: both halved `level` times, rounded up each time."""
    scale = 1 << level
    return -(-height // scale), -(-width // scale)


def grids(arch: Architecture, width: int, height: int) -> tuple[Grid, ...]:
    """All grids from fine to coarse; on a level the main grid comes before the hyper grid.

    The file codes them in the reverse order. The grids *after* a given one in this tuple are
    therefore the ones already decoded when it is its turn.
    """
    found: list[Grid] = []
    for level in range(arch.n_levels):
        size = level_size(width, height, level)
        found.append(Grid(level, False, *size))
        if level >= arch.n_levels - arch.n_hyper:
            found.append(Grid(level, True, *size))
    return tuple(found)


def context_offsets(n_spatial: int) -> tuple[tuple[int, int], ...]:
    """The ARM's causal neighbours as (dy, dx), nearest first.

    Candidates are the pixels above within 4 rows and 4 columns, and the 4 pixels to the left.
    They are ordered by squared distance, ties by row from the current one upwards, then from left
    to right. Returns the first `n_spatial` (1 to 40).
    """
    causal = [(0, dx) for dx in range(-4, 0)]
    causal += [(dy, dx) for dy in range(-4, 0) for dx in range(-4, 5)]
    if not 1 <= n_spatial <= len(causal):
        raise ValueError(f"n_spatial is {n_spatial}, it must be 1 to {len(causal)}")
    causal.sort(key=lambda o: (o[0] ** 2 + o[1] ** 2, -o[0], o[1]))
    return tuple(causal[:n_spatial])


def wavefront_step(n_spatial: int) -> int:
    """Columns by which a row must lag behind the row above so that its context is decoded.

    Pixel (y, x) belongs to wave t = x + step * y. A neighbour (dy, dx) lies in an earlier wave
    when dx + step * dy < 0: the reach to the right decides, not the width of the mask.
    """
    reach = [dx // -dy + 1 for dy, dx in context_offsets(n_spatial) if dy < 0 and dx >= 0]
    return max(reach, default=1)
