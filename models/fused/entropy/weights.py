"""The entropy model's weights as its kernels take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from givre.models.compiled.types import Floats, Floats1, Floats2, Floats3
from givre.models.fused.entropy.products import GROUP


class ArmWeights(NamedTuple):
    """The ARM's weights, the context filled up with zeros to D, a multiple of GROUP.

    Attributes:
        width: inputs of the ARM before they are filled up.
        hidden: (N, D, D), each plus the identity of its residual connection.
        hidden_transposed: (N, D, D).
        hidden_bias: (N, D).
        output: (2, D).
        output_bias: (2,).
        stabiliser: (2, D).
    """

    width: int
    hidden: Floats3
    hidden_transposed: Floats3
    hidden_bias: Floats2
    output: Floats2
    output_bias: Floats1
    stabiliser: Floats2

    @property
    def n_sums(self) -> int:
        """Numbers in the kernels' packed gradient."""
        return self.hidden.size + self.hidden_bias.size + 2 * self.output.size + 2

    def unpack(self, sums: Floats) -> tuple[list[Floats], list[Floats], Floats, Floats, Floats]:
        """Split the kernels' packed gradient.

        Args:
            sums: (n_sums,): hidden, hidden_bias, output, stabiliser, output_bias.

        Returns:
            Gradients of the hidden weights, hidden biases, output weight, output bias and
            stabiliser, in their own shapes.
        """
        n, d = self.hidden_bias.shape
        ends = np.cumsum([n * d * d, n * d, 2 * d, 2 * d])
        hidden, bias, output, stabiliser, output_bias = np.split(sums, ends)
        width = self.width
        return (
            [weight[:width, :width] for weight in hidden.reshape(n, d, d)],
            [row[:width] for row in bias.reshape(n, d)],
            output.reshape(2, d)[:, :width],
            output_bias,
            stabiliser.reshape(2, d)[:, :width],
        )


def arm_weights(
    hidden: Sequence[Floats],
    hidden_bias: Sequence[Floats],
    output: Floats,
    output_bias: Floats,
    stabiliser: Floats,
) -> ArmWeights:
    """Pack weights (D, D), biases (D,), output (2, D), its bias (2,) and stabiliser (2, D)."""
    n, width = len(hidden), output.shape[1]
    d = -(-width // GROUP) * GROUP
    padded = np.zeros((n, d, d), np.float32)
    padded_bias = np.zeros((n, d), np.float32)
    for i, (weight, bias) in enumerate(zip(hidden, hidden_bias, strict=True)):
        padded[i, :width, :width] = weight + np.eye(width, dtype=np.float32)
        padded_bias[i, :width] = bias
    padded_output = np.zeros((2, d), np.float32)
    padded_output[:, :width] = output
    padded_stabiliser = np.zeros((2, d), np.float32)
    padded_stabiliser[:, :width] = stabiliser
    transposed = np.ascontiguousarray(padded.transpose(0, 2, 1))
    return ArmWeights(
        width, padded, transposed, padded_bias, padded_output, output_bias, padded_stabiliser
    )


class IfceWeights(NamedTuple):
    """Weights of all inter-feature extractors; later ones read fewer grids, the rest is zero.

    Attributes:
        weights: (extractors, F, n_in).
        biases: (extractors, F).
    """

    weights: Floats3
    biases: Floats2


def ifce_weights(
    weights: Sequence[Floats], biases: Sequence[Floats], n_features: int
) -> IfceWeights:
    """Pack the weights (F, n_i) and biases (F,) of each extractor.

    Args:
        weights: one for each extractor.
        biases: one for each extractor.
        n_features: F, which there is even where there is no extractor.
    """
    n_inputs = max((weight.shape[1] for weight in weights), default=0)
    padded = np.zeros((len(weights), n_features, n_inputs), np.float32)
    padded_bias = np.zeros(padded.shape[:2], np.float32)
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        padded[i, :, : weight.shape[1]] = weight
        padded_bias[i] = bias
    return IfceWeights(padded, padded_bias)
