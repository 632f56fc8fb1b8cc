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
