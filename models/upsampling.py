"""The upsampler: from a pyramid of latent grids to one dense full-size representation.

    y_{L-1} -> transposed 0 -+
    y_{L-2} -> preconcat 0 --+-> transposed 1 -+
    y_{L-3} -> preconcat 1 --------------------+-> ...
    y_0 -----> preconcat L-2 -----------------------+-> dense

Both filters are separable and symmetric, so a layer stores only the left half of a 1D kernel. Each
has two forms that compute the same: one 2D convolution (stable gradients, for training) and two 1D
passes (for inference). The mathematics is in pure functions on single-channel planes (N, 1, H, W);
the modules hold the coefficients. Source: the upsampling module of Cool-chic, with which the names
agree. It speaks of biases too: they are always zero and never used, so here they do not exist.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from givre.errors import UsageError
from givre.models.filters.initial import initial_half
from givre.models.filters.interpolation import (
    check_preconcat_size,
    check_transposed_size,
    dirac_half,
)
from givre.models.geometry import level_size

PlaneFilter = Callable[[Tensor, Tensor], Tensor]
"""Filters planes (N, 1, H, W) with the left half of a symmetric 1D kernel."""


def symmetric_even_kernel(half: Tensor) -> Tensor:
    """Mirror (a b c) to (a b c c b a): shape (k/2,) to (k,)."""
    return torch.cat((half, half.flip(0)))


def symmetric_odd_kernel(half: Tensor) -> Tensor:
    """Mirror (a b c) about its last coefficient to (a b c b a): shape ((k+1)/2,) to (k,)."""
    return torch.cat((half, half[:-1].flip(0)))


def polyphase_filters(half: Tensor) -> tuple[Tensor, Tensor]:
    """Split the x2 filter into the correlations that give its even and its odd outputs.

    With n = k/2 = len(half), output 2m is the sum over j of even[j] * x[m - n//2 + j], and output
    2m + 1 the sum of odd[j] * x[m - (n-1)//2 + j]. Both have shape (k/2,); each is the other
    reversed, because the kernel is symmetric.
    """
    n_taps = half.numel()
    even = symmetric_even_kernel(half)[n_taps % 2 :: 2]
    return even, even.flip(0)


def transposed_2d(x: Tensor, half: Tensor) -> Tensor:
    """Upsample planes by 2 with one 2D transposed convolution, the form for training.

    Shapes: x (N, 1, H, W), half (k/2,), result (N, 1, 2H, 2W). The grid is continued by its border
    samples.
    """
    n_taps = half.numel()
    kernel = symmetric_even_kernel(half)
    padded = F.pad(x, (n_taps,) * 4, mode="replicate")
    # torch's `padding` of a transposed convolution crops its output. Of the k - 1 + k/2 samples,
    # k are the doubled border and k/2 - 1 centre the kernel on the half-pixel grid.
    crop = 3 * n_taps - 1
    return F.conv_transpose2d(padded, torch.outer(kernel, kernel)[None, None], None, 2, crop)


def transposed_1d_passes(x: Tensor, half: Tensor) -> Tensor:
    """Upsample planes by 2 with a vertical, then a horizontal polyphase pass.

    Shapes: x (N, 1, H, W), half (k/2,), result (N, 1, 2H, 2W). Equal to `transposed_2d` up to
    rounding. Source of the polyphase form: Shi et al., "Is the deconvolution layer the same as a
    convolutional layer?" (2016).
    """
    bank = torch.stack(polyphase_filters(half))[:, None, None]
    rows = _interleaved_phases(x, bank.mT, axis=2)
    return _interleaved_phases(rows, bank, axis=3)


def _interleaved_phases(x: Tensor, bank: Tensor, axis: int) -> Tensor:
    """Double one axis of (N, 1, H, W); bank (2, 1, k/2, 1) or (2, 1, 1, k/2) holds the phases."""
    n_taps, size = bank.shape[axis], x.shape[axis]
    # A tap never reaches further than (k/2) // 2 samples, so the k/2 of the 2D form are not needed.
    border = n_taps // 2
    pads = (0, 0, border, border) if axis == 2 else (border, border, 0, 0)
    phases = F.conv2d(F.pad(x, pads, mode="replicate"), bank)
    # With an even number of taps neither phase is centred: the odd one starts a sample later.
    even = phases[:, :1].narrow(axis, 0, size)
    odd = phases[:, 1:].narrow(axis, 1 - n_taps % 2, size)
    return torch.stack((even, odd), dim=axis + 1).flatten(axis, axis + 1)


def preconcat_2d(x: Tensor, half: Tensor) -> Tensor:
    """Add to planes their filtered selves with one 2D convolution, the form for training.

    Shapes: x and result (N, 1, H, W), half ((k+1)/2,). The grid is continued by its
    border samples.
    """
    kernel = symmetric_odd_kernel(half)
    padded = F.pad(x, (half.numel() - 1,) * 4, mode="replicate")
    return x + F.conv2d(padded, torch.outer(kernel, kernel)[None, None])


def preconcat_1d_passes(x: Tensor, half: Tensor) -> Tensor:
    """Add to planes their filtered selves with a vertical, then a horizontal pass.

    Shapes: x and result (N, 1, H, W), half ((k+1)/2,). Equal to `preconcat_2d` up to rounding.
    """
    kernel = symmetric_odd_kernel(half)[None, None, None]
    border = half.numel() - 1
    rows = F.conv2d(F.pad(x, (0, 0, border, border), mode="replicate"), kernel.mT)
    return x + F.conv2d(F.pad(rows, (border, border, 0, 0), mode="replicate"), kernel)


@dataclass(frozen=True)
class ExecutionForm:
    """One way to compute the two filters; every form gives the same result up to rounding."""

    transposed: PlaneFilter
    preconcat: PlaneFilter


TRAINING_FORM = ExecutionForm(transposed_2d, preconcat_2d)
INFERENCE_FORM = ExecutionForm(transposed_1d_passes, preconcat_1d_passes)


def check_pyramid(latents: Sequence[Tensor]) -> None:
    """Raise UsageError unless the latents are one pyramid, full size first.

    Latent i must have shape (B, C_i, ceil(H/2^i), ceil(W/2^i)) with H, W >= 1 and any C_i >= 0.
    """
    if not latents:
        raise UsageError("there are no latent grids, the upsampling needs at least one")
    for i, y in enumerate(latents):
        if y.dim() != 4:
            raise UsageError(f"latent {i} has {y.dim()} dimensions, it must have 4: B, C, H, W")
    batch, _, height, width = latents[0].shape
    if height < 1 or width < 1:
        raise UsageError(f"latent 0 is {height} x {width}, it must be at least 1 x 1")
    for i, y in enumerate(latents):
        rows, columns = level_size(width, height, i)
        if y.shape[2:] != (rows, columns):
            raise UsageError(
                f"latent {i} is {y.shape[2]} x {y.shape[3]}, it must be {rows} x {columns} "
                f"in the pyramid of a {height} x {width} image"
            )
        if y.shape[0] != batch:
            raise UsageError(f"latent {i} has a batch of {y.shape[0]}, latent 0 one of {batch}")


def upsample(
    latents: Sequence[Tensor],
    transposed_halves: Sequence[Tensor],
    preconcat_halves: Sequence[Tensor],
    form: ExecutionForm,
) -> Tensor:
    """Turn a pyramid of latents into the dense representation.

    Latent i has shape (B, C_i, ceil(H/2^i), ceil(W/2^i)), any C_i >= 0; the result has shape
    (B, sum of C_i, H, W), channels in the order of the latents. Stage s, 0 being the one from the
    coarsest grid, uses filter s modulo the number of filters. Every channel goes through the same
    filter. Raises UsageError if the latents are no pyramid, or need a filter where there is none.
    """
    check_pyramid(latents)
    if len(latents) > 1 and not (transposed_halves and preconcat_halves):
        raise UsageError(f"{len(latents)} latents need at least one filter of each kind")
    dense = latents[-1]
    for stage, y in enumerate(reversed(latents[:-1])):
        transposed = transposed_halves[stage % len(transposed_halves)]
        preconcat = preconcat_halves[stage % len(preconcat_halves)]
        height, width = y.shape[2:]
        doubled = _per_channel(form.transposed, dense, transposed)[:, :, :height, :width]
        dense = torch.cat((_per_channel(form.preconcat, y, preconcat), doubled), dim=1)
    return dense


def _per_channel(plane_filter: PlaneFilter, x: Tensor, half: Tensor) -> Tensor:
    """Filter every channel of (B, C, H, W) alike, by folding the channels into the batch."""
    planes = plane_filter(x.flatten(0, 1)[:, None], half)
    return planes.reshape(*x.shape[:2], *planes.shape[2:])


class UpsamplingSeparableSymmetricConvTranspose2d(nn.Module):
    """The x2 upsampling filter: a transposed convolution with a separable symmetric even kernel.

    Stores `weight` of shape (kernel_size / 2,), outermost tap first. Raises UsageError unless
    `kernel_size` is even and at least 4.
    """

    def __init__(self, kernel_size: int) -> None:
        super().__init__()
        check_transposed_size(kernel_size)
        self.kernel_size = kernel_size
        self.weight = nn.Parameter(torch.empty(kernel_size // 2))
        self.initialize_parameters()

    def initialize_parameters(self, initial: str | None = None) -> None:
        """Set the filter to bilinear (4 and 6 taps) or bicubic (8 taps and more), or as named.

        Names and errors are those of `initial_kernels.initial_half`.
        """
        half = torch.tensor(initial_half(initial, self.kernel_size), dtype=torch.float64)
        with torch.no_grad():
            self.weight.copy_(half)

    def forward(self, x: Tensor) -> Tensor:
        """Upsample planes (N, 1, H, W) to (N, 1, 2H, 2W)."""
        return _form(self.training).transposed(x, self.weight)


class UpsamplingSeparableSymmetricConv2d(nn.Module):
    """The pre-concatenation filter: a separable symmetric odd kernel with a residual connection.

    Stores `weight` of shape ((kernel_size + 1) / 2,), outermost tap first. Raises UsageError
    unless `kernel_size` is odd.
    """

    def __init__(self, kernel_size: int) -> None:
        super().__init__()
        check_preconcat_size(kernel_size)
        self.kernel_size = kernel_size
        self.weight = nn.Parameter(torch.empty((kernel_size + 1) // 2))
        self.initialize_parameters()

    def initialize_parameters(self) -> None:
        """Set the kernel to a Dirac; with the residual connection the layer then doubles."""
        with torch.no_grad():
            self.weight.copy_(torch.tensor(dirac_half(self.kernel_size)))

    def forward(self, x: Tensor) -> Tensor:
        """Filter planes (N, 1, H, W) and add them to the result."""
        return _form(self.training).preconcat(x, self.weight)


class Upsampling(nn.Module):
    """The hierarchical upsampler: one upsampling and one pre-concatenation filter a stage.

    Args:
        ups_k_size: taps of the upsampling filters, even and at least 4.
        ups_preconcat_k_size: taps of the pre-concatenation filters, odd.
        n_ups_kernel: different upsampling filters, usually one fewer than there are latents;
            1 shares one filter between all stages. 0 will do for a single latent.
        n_ups_preconcat_kernel: different pre-concatenation filters, likewise.

    Raises UsageError if one of them is out of its range.
    """

    def __init__(
        self,
        ups_k_size: int,
        ups_preconcat_k_size: int,
        n_ups_kernel: int,
        n_ups_preconcat_kernel: int,
    ) -> None:
        super().__init__()
        check_transposed_size(ups_k_size)
        check_preconcat_size(ups_preconcat_k_size)
        if n_ups_kernel < 0 or n_ups_preconcat_kernel < 0:
            raise UsageError("the number of filters is negative, it must be at least 0")
        self.transposed = nn.ModuleList(
            UpsamplingSeparableSymmetricConvTranspose2d(ups_k_size) for _ in range(n_ups_kernel)
        )
        self.preconcat = nn.ModuleList(
            UpsamplingSeparableSymmetricConv2d(ups_preconcat_k_size)
            for _ in range(n_ups_preconcat_kernel)
        )

    def forward(self, decoder_side_latent: list[Tensor]) -> Tensor:
        """Upsample L latents, the full size first, to the dense representation.

        Shapes, channel order and errors are those of `upsample`.
        """
        transposed_halves = [layer.get_parameter("weight") for layer in self.transposed]
        preconcat_halves = [layer.get_parameter("weight") for layer in self.preconcat]
        form = _form(self.training)
        return upsample(decoder_side_latent, transposed_halves, preconcat_halves, form)

    def initialize_parameters(self, initial: str | None = None) -> None:
        """Set every filter back to its initial kernel; `initial` names that of the upsampling.

        Names, None and errors are those of `initial_kernels.initial_half`.
        """
        for layer in self.modules():
            if isinstance(layer, UpsamplingSeparableSymmetricConvTranspose2d):
                layer.initialize_parameters(initial)
            elif isinstance(layer, UpsamplingSeparableSymmetricConv2d):
                layer.initialize_parameters()

    def get_param(self) -> OrderedDict[str, Tensor]:
        """Return detached copies of all coefficients, under their names in the state dict."""
        return OrderedDict((name, p.detach().clone()) for name, p in self.named_parameters())


def _form(training: bool) -> ExecutionForm:
    return TRAINING_FORM if training else INFERENCE_FORM
