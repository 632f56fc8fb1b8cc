"""What a decoder computes on its way and throws away, for whole grids at once.

A decoder needs wavefronts because it must predict a latent before it knows it. Once all latents are
known every context is, so the entropy model of a grid is one pass over its rows. The results are
those of the decoder, bit by bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from givre.models.architecture import Architecture
from givre.models.compiled.types import Doubles
from givre.models.context import context_offsets
from givre.models.exact.numpy_backend import (
    NumpyBackend,
    preconcat_pass,
    to_grid,
    transposed_pass,
)
from givre.models.geometry import Grid

_LATENTS_AT_A_TIME = 1 << 16
_REACH = 4


def grid_model(
    backend: NumpyBackend,
    arch: Architecture,
    all_grids: Sequence[Grid],
    latents: Sequence[Doubles],
    index: int,
) -> tuple[Doubles, NDArray[np.int64]]:
    """Mean and scale index of every latent of a grid.

    Args:
        backend: evaluates the entropy model.
        arch: for the context's shape.
        all_grids: the grids of the file, as `geometry.grids` gives them.
        latents: their values (H_i, W_i), in the same order.
        index: of the grid in both.

    Returns:
        (H, W) each: means in multiples of 2^-8, scale indices 0 to 320.
    """
    grid = all_grids[index]
    mean = np.empty((grid.height, grid.width))
    scale_index = np.empty((grid.height, grid.width), np.int64)
    padded = np.pad(latents[index], ((_REACH, 0), (_REACH, _REACH)))
    features = None
    if not grid.hyper and grid.level < arch.n_ifce:
        features = backend.features(all_grids[index + 1 :], latents[index + 1 :], grid.level)
    n_rows = max(1, _LATENTS_AT_A_TIME // grid.width)
    for first in range(0, grid.height, n_rows):
        last = min(first + n_rows, grid.height)
        contexts = _contexts(arch, padded, features, first, last)
        found = backend.arm(contexts.reshape(-1, arch.context_width))
        mean[first:last], scale_index[first:last] = (x.reshape(-1, grid.width) for x in found)
    return mean, scale_index


def _contexts(
    arch: Architecture, padded: Doubles, features: Doubles | None, first: int, last: int
) -> Doubles:
    """Contexts (last - first, W, D) of some rows, from the grid with _REACH zeros around it."""
    width = padded.shape[1] - 2 * _REACH
    contexts = np.zeros((last - first, width, arch.context_width))
    for i, (dy, dx) in enumerate(context_offsets(arch.n_spatial)):
        top, left = _REACH + dy, _REACH + dx
        contexts[..., i] = padded[top + first : top + last, left : left + width]
    if features is not None:
        rows, columns = np.arange(first, last) >> 1, np.arange(width) >> 1
        contexts[..., arch.n_spatial :] = np.moveaxis(features[:, rows][:, :, columns], 0, 2)
    return contexts


def upsampled_stack(
    backend: NumpyBackend,
    parameters: Mapping[str, Doubles],
    arch: Architecture,
    main: Sequence[Doubles],
) -> Doubles:
    """Dense representation (L, H, W) that the synthesis sees, channel i made of main grid i.

    Args:
        backend: computes all stages but the last.
        parameters: those of the backend, as it got them.
        arch: for the number of stages.
        main: main grids, fine to coarse.
    """
    last, finest = arch.n_levels - 2, main[0]
    transposed = parameters[f"upsampling.transposed.{last}.weight"]
    preconcat = parameters[f"upsampling.preconcat.{last}.weight"]
    height, width = finest.shape
    dense = np.empty((arch.n_levels, height, width))
    filtered = preconcat_pass(preconcat_pass(finest, preconcat, 0), preconcat, 1)
    dense[0] = to_grid(finest + filtered)
    for channel, plane in enumerate(backend.stack(main), start=1):
        doubled = transposed_pass(transposed_pass(plane, transposed, 0), transposed, 1)
        dense[channel] = doubled[:height, :width]
    return dense
