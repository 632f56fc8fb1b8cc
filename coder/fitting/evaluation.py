"""What a model with rounded latents is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from givre.coder.fitting.fit_kernels import FitKernels
from givre.coder.fitting.normalisation import Target
from givre.models.codec_model import CodecModel


@dataclass(frozen=True)
class Evaluation:
    """A model judged with rounded latents.

    Attributes:
        loss: MSE + lambda * bpp.
        bpp: estimated rate of the latents in bits per pixel.
        mse: distortion, relative to the full range.
    """

    loss: float
    bpp: float
    mse: float


@torch.no_grad()
def judge(
    kernels: FitKernels, model: CodecModel, latents: Sequence[Tensor], target: Target, lmbda: float
) -> Evaluation:
    """Rate and distortion of a model with latents as a file would hold them.

    Args:
        kernels: what computes.
        model: the networks.
        latents: (H_i, W_i), integers in float tensors.
        target: the image.
        lmbda: weight of the rate.
    """
    _, _, height, width = target.normalised.shape
    bpp = float(kernels.rate(model, latents)) / (height * width)
    mse = float(kernels.distortion(model, latents, target.normalised, target.span))
    return Evaluation(mse + lmbda * bpp, bpp, mse)
