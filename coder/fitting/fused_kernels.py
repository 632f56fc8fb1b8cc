"""A fit in compiled kernels on the CPU. The only module of `coder` that knows `models.fused`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor

from givre.coder.fitting.fit_kernels import FEWEST_STEPS_TO_MOVE
from givre.coder.fitting.parameter_rate import FLOOR, SMOOTHNESS, ParameterRate
from givre.coder.fitting.soap import CLIP_EPSILON, Matrix, Soap, SoapSettings
from givre.models.architecture import Architecture
from givre.models.codec_model import CodecModel
from givre.models.compiled.preparation import Compiling, cores, prepare
from givre.models.compiled.types import Doubles, Integers
from givre.models.fused.backend import (
    MOVE_KERNELS,
    STEP_KERNELS,
    FusedFittedLatents,
    FusedOperations,
)
from givre.models.fused.moves.moved_latents import MovedLatents
from givre.models.fused.networks import soap_table as table
from givre.models.fused.networks.integer_rounding import descend_rows, round_rows
from givre.models.fused.networks.parameter_rate import difference_slope
from givre.models.fused.networks.soap_bases import renew_bases
from givre.models.fused.networks.soap_step import soap_step
from givre.models.geometry import Grid


class FusedKernels:
    """`FitKernels` in compiled code.

    Args:
        threads: of the kernels; the results do not depend on it.
    """

    name = "fused"
    exact = "auto"
    moves_latents = True
    # What is left to torch is tiny, and its waiting threads would take the cores from the kernels.
    torch_threads = 1

    def __init__(self, threads: int) -> None:
        operations = FusedOperations(threads)
        self._operations = operations
        self.rate = operations.rate
        self.upsample = operations.upsample
        self.synthesise = operations.synthesise
        self.synthesis_distortion = operations.synthesis_distortion
        self.together = operations.together
        self.round_rows, self.descend_rows = round_rows, descend_rows

    def prepare(self, steps: int, on_compiling: Callable[[Compiling], None]) -> None:
        """See `FitKernels.prepare`: in as many processes as there are cores."""
        moves = MOVE_KERNELS if steps >= FEWEST_STEPS_TO_MOVE else ()
        prepare((*STEP_KERNELS, *moves), cores(), on_compiling)

    def latents(self, grids: Sequence[Grid], device: torch.device) -> FusedFittedLatents:
        """See `FitKernels.latents`."""
        return self._operations.latents(grids, device)

    def distortion(
        self, model: CodecModel, latents: Sequence[Tensor], target: Tensor, span: Tensor
    ) -> Tensor:
        """See `FitKernels.distortion`."""
        return self.synthesis_distortion(model, self.upsample(model, latents), target, span)

    def optimiser(self, parameters: Sequence[Tensor], settings: SoapSettings) -> Soap:
        """See `FitKernels.optimiser`."""
        return FusedSoap(parameters, settings)

    def parameter_rate(
        self, arch: Architecture, model: CodecModel, prior: Mapping[str, Doubles]
    ) -> ParameterRate:
        """See `FitKernels.parameter_rate`."""
        return FusedParameterRate(arch, model, prior)

    def single_moves(
        self,
        model: CodecModel,
        latents: Sequence[Tensor],
        target: Tensor,
        span: Tensor,
        coarsest: int,
    ) -> MovedLatents:
        """See `FitKernels.single_moves`."""
        return MovedLatents(model, latents, target, span, coarsest)


class FusedSoap(Soap):
    """`Soap` whose steps one compiled kernel does, the same up to rounding.

    In torch a step costs as much as its many calls: the tensors of a decoder are tiny.

    Args:
        parameters: tensors to optimise in place, float32, on the CPU.
        settings: constants.
    """

    def __init__(self, parameters: Sequence[Tensor], settings: SoapSettings) -> None:
        super().__init__(parameters, settings)
        self._table = np.empty((len(self._shapes), table.N_COLUMNS), np.int64)
        start = 0
        for row, shape, matrix in zip(self._table, self._shapes, self._matrices, strict=True):
            row[table.START], row[table.ROWS], row[table.COLUMNS] = start, *shape
            _fill_row(row, matrix)
            start += prod(shape)
        # The kernel's copy of the tensors, and the same as views of their shapes.
        self._joined_values = self._state.new_empty(sum(self._sizes))
        self._shaped_values = self._shaped(self._joined_values)

    def _move(self, gradient: Tensor, clip_norm: float, decay: float, size: float) -> None:
        s = self._settings
        shares = (1 - s.betas[0], 1 - s.betas[1], 1 - s.shampoo_beta)
        constants = table.SoapConstants(clip_norm, CLIP_EPSILON, decay, size, *shares, s.eps)
        flat, shaped = self._joined_values, self._shaped_values
        torch._foreach_copy_(shaped, self._values)
        soap_step(self._table, flat.numpy(), gradient.numpy(), self._state.numpy(), constants)
        torch._foreach_copy_(self._values, shaped)

    def _refresh(self) -> None:
        renew_bases(self._table, self._state.numpy())


def _fill_row(row: Integers, matrix: Matrix) -> None:
    """Say in a row of the kernel's table where a matrix' state starts in the buffer."""
    row[table.MEAN], row[table.SQUARE] = _place(matrix.mean), _place(matrix.square)
    row[table.ROW_FACTOR : table.COLUMN_BASIS + 1] = -1
    if matrix.rows:
        row[table.ROW_FACTOR] = _place(matrix.rows.factor)
        row[table.ROW_BASIS] = _place(matrix.rows.basis)
    if matrix.columns:
        row[table.COLUMN_FACTOR] = _place(matrix.columns.factor)
        row[table.COLUMN_BASIS] = _place(matrix.columns.basis)


def _place(tensor: Tensor) -> int:
    """Where a tensor starts in its buffer."""
    return int(tensor.storage_offset())


class FusedParameterRate(ParameterRate):
    """`ParameterRate` whose slope one compiled kernel finds, to the same bits."""

    def _find_slope(self, weight: float) -> None:
        difference_slope(
            self._groups.numpy(),
            self._counts.numpy(),
            self._flat().numpy(),
            self._prior.numpy(),
            np.float32(weight),
            np.float32(FLOOR),
            np.float32(SMOOTHNESS),
            self._gradient.numpy(),
        )
