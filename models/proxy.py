"""Quantisation proxies: what stands for rounding while the latents are fitted.

Soft rounding with noise is described in "Universally Quantized Neural Compression" (Agustsson and
Theis, NeurIPS 2020) and was brought to overfitted codecs by C3 (Kim et al., CVPR 2024).
"""

from __future__ import annotations

from math import tanh

import torch
from torch import Tensor


def soft_round(x: Tensor, temperature: float) -> Tensor:
    """Differentiable rounding: the identity for a high temperature, a staircase for a low one.

    It fixes the integers and the half-integers, whatever the temperature.
    """
    floor = torch.floor(x)
    delta = x - floor - 0.5
    return floor + 0.5 + 0.5 * torch.tanh(delta / temperature) / tanh(0.5 / temperature)


def noisy_soft_round(x: Tensor, noise: Tensor, temperature: float) -> Tensor:
    """Soft rounding of the softly rounded x plus noise.

    The noise keeps the networks from relying on the exact position between two integers, which
    the decoder will not see.

    Args:
        x: latents, any shape.
        noise: as `x`, already scaled.
        temperature: of both rounds.

    Returns:
        Proxy of the rounded latents, as `x`.
    """
    return soft_round(soft_round(x, temperature) + noise, temperature)
