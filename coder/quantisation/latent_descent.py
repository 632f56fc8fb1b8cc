"""Rounded latents after a fit: single ones are moved by one where the file's loss falls by it.

A fit only ever sees soft latents. Rounding leaves some where one more or one less would be better,
above all where the rate of the neighbours is counted too, and so does the quantisation of the
networks. Candidates are found by the slope and the curvature of the distortion; what passes is
judged by exact rate and distortion (greedy coordinate descent, so the loss can only fall).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from givre.coder.fitting.fit_kernels import FitKernels, SingleMoves
from givre.coder.fitting.normalisation import Target
from givre.models.codec_model import CodecModel

_log = logging.getLogger(__name__)

_AT_ONCE = 1 << 14
"""Moves that are tried in one call."""

_NEIGHBOURS_BITS = 2.0
"""What a move may well save in the bits of others, by the change of their contexts."""


@dataclass(frozen=True)
class Descent:
    """How thorough it is.

    Attributes:
        slack: bits by which the guess of a move's worth may be off.
        coarsest: main grids of a higher level stay as they are. One of their latents changes
            thousands of pixels, and there are few of them.
        silent: zeros that cost fewer bits than this are left alone.
        probes: random directions by which the curvature is estimated.
    """

    slack: float = 3.0
    coarsest: int = 3
    silent: float = 0.7
    probes: int = 4


def descend(
    model: CodecModel,
    latents: Sequence[Tensor],
    target: Target,
    lmbda: float,
    kernels: FitKernels,
    passes: int,
    seed: int,
    descent: Descent = Descent(),
) -> list[Tensor]:
    """Move rounded latents to where MSE + lambda * bpp is lower, for given networks.

    Args:
        model: the networks, as the file will hold them, on the CPU.
        latents: (H_i, W_i) each, integers in float tensors, in the order of `model.grids`.
        target: the image.
        lmbda: weight of the rate.
        kernels: must have `moves_latents`.
        passes: over all grids, each with a slope of its own.
        seed: of the probes.
        descent: how thorough it is.

    Returns:
        The new latents, likewise. Deterministic, whatever the number of threads.

    Raises:
        ValueError: the kernels cannot move single latents.
    """
    moves = kernels.single_moves(model, latents, target.normalised, target.span, descent.coarsest)
    # The loss in units of the summed squared error: the distortion is a mean over all samples.
    weight = lmbda * target.normalised.shape[1]
    before = moves.squared_error + weight * moves.bits
    generator = torch.Generator().manual_seed(seed)
    for _ in range(passes):
        guess = _Guess(model, moves, target, kernels, descent.probes, generator)
        taken = 0
        for grid in reversed(range(len(model.grids))):
            if not model.grids[grid].hyper and model.grids[grid].level > descent.coarsest:
                continue
            for step in (-1, 1):
                candidates, expected = _candidates(moves, grid, step, guess, weight, descent)
                # In pieces, for an interrupt waits until a kernel is done.
                for first in range(0, len(candidates), _AT_ONCE):
                    piece = slice(first, first + _AT_ONCE)
                    taken += moves.attempt(
                        candidates[piece], expected[piece], weight, descent.slack * weight
                    )
        after = moves.squared_error + weight * moves.bits
        _log.debug("%d latents moved: error and weighted bits %g -> %g", taken, before, after)
    return moves.latents()


class _Guess:
    """Slope and curvature of the summed squared error by every latent of a main grid."""

    def __init__(
        self,
        model: CodecModel,
        moves: SingleMoves,
        target: Target,
        kernels: FitKernels,
        probes: int,
        generator: torch.Generator,
    ) -> None:
        self._model, self._kernels, self._span = model, kernels, target.span
        self._main = [i for i, grid in enumerate(model.grids) if not grid.hyper]
        self._latents = moves.latents()
        self._slopes = self._slopes_towards(target.normalised)
        picture = moves.normalised().clamp(0, 1)
        squares = [torch.zeros_like(slope) for slope in self._slopes]
        span = self._span
        for _ in range(probes):
            # Against a target that is off by random signs, the slope is twice a random
            # combination of the samples' slopes; its square is on average four times the sum of
            # their squares, which is twice the curvature (Hutchinson).
            signs = torch.randint(0, 2, picture.shape, generator=generator) * 2.0 - 1
            # A channel that is the same everywhere has no span, and no error.
            off = picture - torch.where(span > 0, signs / span, 0.0)
            for i, slope in enumerate(self._slopes_towards(off)):
                squares[i] += slope.square() / (4 * probes)
        self._squares = [_smooth(total) for total in squares]

    def change(self, grid: int, step: int) -> NDArray[np.float32] | None:
        """How moving any one latent (H_i, W_i) changes the error; None if it does not."""
        if grid not in self._main:
            return None
        i = self._main.index(grid)
        change: NDArray[np.float32] = (step * self._slopes[i] + self._squares[i]).numpy()
        return change

    def _slopes_towards(self, normalised: Tensor) -> list[Tensor]:
        leaves = [y.clone() for y in self._latents]
        main = [leaves[i].requires_grad_() for i in self._main]
        error = self._kernels.distortion(self._model, leaves, normalised, self._span)
        return list(torch.autograd.grad(error * normalised.numel(), main))


def _candidates(
    moves: SingleMoves, grid: int, step: int, guess: _Guess, weight: float, descent: Descent
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Moves of a grid's latents by `step`, (N, 4), and how each may change the error, (N,)."""
    bits, change = moves.bits_of(grid), guess.change(grid, step)
    wanted = (moves.latents_of(grid) != 0) | (bits > descent.silent)
    if change is None:
        change = np.zeros_like(bits)
    else:
        # No move saves more than the latent's own bits and some of its neighbours'.
        wanted &= change < weight * (bits + descent.slack + _NEIGHBOURS_BITS)
    rows, columns = np.nonzero(wanted)
    found = np.stack([np.full_like(rows, grid), rows, columns, np.full_like(rows, step)], axis=1)
    return found.astype(np.int64), change[rows, columns]


def _smooth(plane: Tensor) -> Tensor:
    """Mean over 5x5 latents: single probes are noisy, and curvature changes slowly."""
    padded = F.pad(plane[None, None], (2, 2, 2, 2), mode="replicate")
    return F.avg_pool2d(padded, 5, 1)[0, 0]
