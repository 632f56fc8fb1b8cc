"""The ARM's context: which neighbours of a latent it sees, and what their order of decoding is."""

from __future__ import annotations

from givre.errors import UsageError

CONTEXT_REACH = 4
"""The farthest neighbour, in rows and in columns. Grids are padded with so many zeros."""


def context_offsets(n_spatial: int) -> tuple[tuple[int, int], ...]:
    """The ARM's causal neighbours as (dy, dx), nearest first.

    Candidates are the pixels above within 4 rows and 4 columns, and the 4 pixels to the left.
    They are ordered by squared distance, ties by row from the current one upwards, then from left
    to right. Returns the first `n_spatial` (1 to 40).
    """
    columns = range(-CONTEXT_REACH, CONTEXT_REACH + 1)
    causal = [(0, dx) for dx in range(-CONTEXT_REACH, 0)]
    causal += [(dy, dx) for dy in range(-CONTEXT_REACH, 0) for dx in columns]
    if not 1 <= n_spatial <= len(causal):
        raise UsageError(f"n_spatial is {n_spatial}, it must be 1 to {len(causal)}")
    causal.sort(key=lambda o: (o[0] ** 2 + o[1] ** 2, -o[0], o[1]))
    return tuple(causal[:n_spatial])


def wavefront_step(n_spatial: int) -> int:
    """Columns by which a row must lag behind the row above so that its context is decoded.

    Pixel (y, x) belongs to wave t = x + step * y. A neighbour (dy, dx) lies in an earlier wave
    when dx + step * dy < 0: the reach to the right decides, not the width of the mask.
    """
    reach = [dx // -dy + 1 for dy, dx in context_offsets(n_spatial) if dy < 0 and dx >= 0]
    return max(reach, default=1)
