"""Models for tests in which every layer matters."""

from __future__ import annotations

import torch

from givre.models.architecture import Architecture
from givre.models.codec_model import CodecModel


def lively_model(
    arch: Architecture, width: int, height: int, dtype: torch.dtype = torch.float32
) -> CodecModel:
    """A model with weights large enough for every layer to matter, and scales about 1."""
    model = CodecModel(arch, width, height).to(dtype)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith("upsampling."):  # those are not random
                parameter.zero_()
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.15)
        model.arm.output.bias[1] += 4
    return model
