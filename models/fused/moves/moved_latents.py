"""Rounded latents that can be moved one by one, with all that depends on them kept up to date."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from givre.errors import UsageError
from givre.models.codec_model import CodecModel
from givre.models.compiled.types import Floats, Integers
from givre.models.fused.module_parameters import parameters_of
from givre.models.fused.moves.arrays import (
    COLUMNS,
    FEATURES,
    HEIGHT,
    LEVEL,
    N_LAYOUT_COLUMNS,
    PLANE,
    ROWS,
    START,
    WIDTH,
    ContextWeights,
    MovedArrays,
    Moves,
    Picture,
    Responses,
    SynthesisWeights,
)
from givre.models.fused.moves.attempts import count_all_bits, make_picture, try_moves
from givre.models.fused.moves.responses import axis_responses, joined
from givre.models.fused.synthesis.pixel_network import pixel_weights
from givre.models.ifce import feature_maps


class MovedLatents:
    """Latents of a model whose networks stay as they are.

    Args:
        model: the networks, on the CPU.
        latents: (H_i, W_i) each, integers in float tensors, in the order of `model.grids`.
        target: (1, C, H, W), normalised samples in [0, 1].
        span: (C, 1, 1), a factor of each channel's errors before they are squared, or (C, H, W).
        coarsest: main grids of a higher level cannot be moved: a latent of theirs reaches far.

    Attributes:
        squared_error: of all samples, with the latents as they are.
        bits: of all latents.
    """

    def __init__(
        self,
        model: CodecModel,
        latents: Sequence[Tensor],
        target: Tensor,
        span: Tensor,
        coarsest: int,
    ) -> None:
        self._grids = model.grids
        self._movable = [g.hyper or g.level <= coarsest for g in model.grids]
        self._responses = _responses(model, target.shape[2:], coarsest)
        symbols = np.concatenate([_array(y).reshape(-1) for y in latents])
        self._arrays = MovedArrays(
            layout=_layout(model, coarsest),
            symbols=symbols,
            features=_features(model, latents),
            bits=np.empty_like(symbols),
        )
        self._model = _context_weights(model)
        count_all_bits(self._arrays, self._model)
        self._picture = _picture(model, latents, target, span)
        self._weights = _synthesis_weights(model)
        self.squared_error = make_picture(self._picture, self._weights)
        self.bits = float(self._arrays.bits.sum(dtype=np.float64))

    def attempt(self, moves: Integers, expected: Floats, rate_weight: float, slack: float) -> int:
        """Try moves in their order, keep those that lower the loss, and tell how many these were.

        Args:
            moves: (N, 4): grid, row, column and step. None may be of a grid beyond `coarsest`.
            expected: (N,), a guess of how each changes the squared error.
            rate_weight: squared error that a bit is worth.
            slack: where the guess and the true bits come to more, the error is not looked at.

        Raises:
            UsageError: a grid cannot be moved.
        """
        for grid in np.unique(moves[:, 0]):
            if not self._movable[grid]:
                raise UsageError(f"latents of {self._grids[grid].label} reach too far to be moved")
        taken, more_error, more_bits = try_moves(
            Moves(
                np.ascontiguousarray(moves, np.int64), np.ascontiguousarray(expected, np.float32)
            ),
            self._arrays,
            self._model,
            self._picture,
            self._weights,
            self._responses,
            rate_weight,
            slack,
        )
        self.squared_error += more_error
        self.bits += more_bits
        return int(taken)

    def latents(self) -> list[Tensor]:
        """Copies of the latents as they are now, as they were given."""
        return [torch.from_numpy(self.latents_of(grid)) for grid in range(len(self._grids))]

    def normalised(self) -> Tensor:
        """The picture as it is now, normalised samples (1, C, H, W), not clamped."""
        picture = self._picture
        return torch.from_numpy(picture.stages[-1] + picture.stabilised)[None]

    def latents_of(self, grid: int) -> Floats:
        """The latents of one grid as they are now, (H_i, W_i)."""
        return self._part(self._arrays.symbols, grid)

    def bits_of(self, grid: int) -> Floats:
        """Bits of each latent of a grid, (H_i, W_i)."""
        return self._part(self._arrays.bits, grid)

    def _part(self, values: Floats, grid: int) -> Floats:
        """A copy of what belongs to a grid."""
        first, g = self._arrays.layout[grid, START], self._grids[grid]
        return values[first : first + g.size].reshape(g.height, g.width).copy()


def _layout(model: CodecModel, coarsest: int) -> Integers:
    """A row for each grid, columns LEVEL to COLUMNS."""
    layout = np.full((len(model.grids), N_LAYOUT_COLUMNS), -1, np.int64)
    start = features = rows = columns = 0
    for row, grid in zip(layout, model.grids, strict=True):
        row[LEVEL], row[HEIGHT], row[WIDTH], row[START] = (
            grid.level,
            grid.height,
            grid.width,
            start,
        )
        start += grid.size
        if not grid.hyper:
            row[PLANE] = grid.level
            if grid.level < model.arch.n_ifce:
                row[FEATURES] = features
                features += -(-grid.height // 2) * -(-grid.width // 2) * model.arch.n_features
            if grid.level <= coarsest:
                row[ROWS], row[COLUMNS] = rows, columns
                rows, columns = rows + grid.height, columns + grid.width
    return layout


def _responses(model: CodecModel, size: Sequence[int], coarsest: int) -> Responses:
    """Those of all rows and all columns of the movable main grids."""
    halves = [_array(p) for p in parameters_of(model.upsampling)]
    n = len(model.upsampling.transposed)
    levels = range(min(coarsest + 1, model.arch.n_levels))
    rows, columns = (
        joined([axis_responses(extent, level, halves[:n], halves[n:]) for level in levels])
        for extent in size
    )
    return Responses(rows.ends, rows.factors, columns.ends, columns.factors)


def _features(model: CodecModel, latents: Sequence[Tensor]) -> Floats:
    """Features of all grids that have any, flat."""
    with torch.no_grad():
        found = feature_maps(model.ifce, model.grids, latents)
    pieces = [_array(f.permute(1, 2, 0)).reshape(-1) for f in found if f is not None]
    return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)


def _context_weights(model: CodecModel) -> ContextWeights:
    """The entropy model's weights, padded."""
    arch, arm = model.arch, model.arm
    maps = np.zeros((arch.n_ifce, len(model.grids), arch.n_features), np.float32)
    for finer, layer in enumerate(model.ifce):
        maps[finer, finer + 1 :] = _array(layer.get_parameter("weight")).T
    width = arch.context_width
    padded = -(-width // 4) * 4
    hidden = np.zeros((arch.n_arm_hidden, padded, padded), np.float32)
    bias = np.zeros((arch.n_arm_hidden, padded), np.float32)
    for i, layer in enumerate(arm.hidden):
        hidden[i, :width, :width] = _array(layer.get_parameter("weight")) + np.eye(width)
        bias[i, :width] = _array(layer.get_parameter("bias"))
    output = np.zeros((5, padded), np.float32)
    output[:2, :width] = _array(arm.output.weight)
    output[2:4, :width] = _array(arm.stabiliser.weight)
    output[4, :2] = _array(arm.output.bias)
    return ContextWeights(np.array(arm.offsets, np.int64), maps, hidden, bias, output)


def _picture(model: CodecModel, latents: Sequence[Tensor], target: Tensor, span: Tensor) -> Picture:
    """A picture of which only the dense representation and the target are there yet."""
    with torch.no_grad():
        dense = _array(model.dense(latents)[0])
    channels, height, width = target.shape[1:]
    return Picture(
        dense=dense,
        stages=np.empty((model.arch.n_residual + 1, channels, height, width), np.float32),
        stabilised=np.empty((channels, height, width), np.float32),
        error=np.zeros((1, height, width), np.float32),
        target=_array(target[0]),
        span=_array(span),
    )


def _synthesis_weights(model: CodecModel) -> SynthesisWeights:
    """The synthesis' weights, padded."""
    hidden, hidden_bias, output, output_bias, *layers, stabiliser = (
        _array(p) for p in parameters_of(model.synthesis)
    )
    pixel = pixel_weights(
        hidden[:, :, 0, 0], hidden_bias, output[:, :, 0, 0], output_bias, stabiliser[:, :, 0, 0]
    )
    n, channels = len(layers) // 2, len(output_bias)
    return SynthesisWeights(
        hidden=pixel.hidden,
        output=pixel.output,
        output_bias=pixel.output_bias,
        stabiliser=pixel.stabiliser,
        residual=np.array(layers[::2], np.float32).reshape(n, channels, channels, 9),
        residual_bias=np.array(layers[1::2], np.float32).reshape(n, channels),
    )


def _array(tensor: Tensor) -> Floats:
    array: Floats = np.ascontiguousarray(tensor.detach().numpy(), np.float32)
    return array
