"""The latent section: every latent of every grid, in coding order, as one range-coded message."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from givre.bitstream.rangecoder import (
    SymbolDecoder,
    SymbolEncoder,
    initial_state,
    message_words,
)
from givre.bitstream.scales import LATENT_SCALES
from givre.errors import UsageError
from givre.models.geometry import LATENT_MAX, LATENT_MIN

MEAN_STEPS = 256
"""Means of the latents are multiples of 1 / MEAN_STEPS."""

CodedLatents = tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.int64]]
"""Symbols, their means and their scale indices: one axis, one length."""


def _check(symbols: NDArray[np.int32], mean: NDArray[np.float64], index: NDArray[np.int64]) -> None:
    if not len(symbols) == len(mean) == len(index):
        raise UsageError("symbols, means and scale indices must be equally many")
    if not len(symbols):
        return
    if symbols.min() < LATENT_MIN or symbols.max() > LATENT_MAX:
        raise UsageError(
            f"latents are {symbols.min()} to {symbols.max()}, "
            f"they must be {LATENT_MIN} to {LATENT_MAX}"
        )
    steps = mean * MEAN_STEPS
    if not (np.abs(mean) <= -LATENT_MIN).all() or (steps != np.floor(steps)).any():
        raise UsageError(f"means must be multiples of 1/{MEAN_STEPS} within +-{-LATENT_MIN}")
    if index.min() < 0 or index.max() >= len(LATENT_SCALES):
        raise UsageError(f"scale indices must be 0 to {len(LATENT_SCALES) - 1}")


def write_latents(waves: Iterable[CodedLatents]) -> bytes:
    """Code latents as one message; `waves` come in coding order and may be of any lengths.

    Symbols are int32 of -64 to 63, means float64 multiples of 2^-8 of -64 to 64, scale indices
    0 to 320 into LATENT_SCALES. How they are cut into waves leaves no trace in the bytes. Raises
    UsageError for anything else.
    """
    encoder = SymbolEncoder()
    for symbols, mean, scale_index in waves:
        _check(symbols, mean, scale_index)
        encoder.laplace(symbols, mean, LATENT_SCALES[scale_index])
    return encoder.to_bytes()


class LatentReader:
    """Decodes a latent section wave by wave, since a mean may depend on earlier symbols.

    A decoder that brings a range decoder of its own takes `words` and `state` instead of calling
    `read`, and advances `state`. One message is read in one way from beginning to end.

    Attributes:
        scales: float64 (321,), the scale of each scale index.
        words: the message, uint32.
        state: of the range decoder before the next symbol, uint64 (3,); see
            `rangecoder.initial_state`.
    """

    def __init__(self, data: bytes) -> None:
        self.scales = LATENT_SCALES
        self.words = message_words(data)
        self.state = initial_state(self.words)
        self._decoder = SymbolDecoder(data)

    def read(self, mean: NDArray[np.float64], scale_index: NDArray[np.int64]) -> NDArray[np.int32]:
        """Decode the next latents, int32 of -64 to 63, one for each mean and scale index.

        The arguments are as in `write_latents` and are not checked again. Raises CorruptError if
        the range coder refuses the data.
        """
        return self._decoder.laplace(mean, LATENT_SCALES[scale_index])
