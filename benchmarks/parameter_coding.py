"""What the parameter section's Laplace models save over fixed exp-Golomb codes.

    python benchmarks/parameter_coding.py FILE.givre...

For each group of parameters: its number, its bits under the best of the 63 Laplace scales, and its
bits under the best of the exp-Golomb codes of order 0 to 12, which Cool-chic uses. Neither counts
the few bits that name the choice.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from givre.bitstream.container import unpack
from givre.bitstream.parameters import parameter_bits, read_parameters
from givre.bitstream.priors import load_prior
from givre.models.architecture import Architecture, group_names, tensor_specs

MAX_ORDER = 12


def exp_golomb_bits(integers: NDArray[np.int32], order: int) -> int:
    """Bits of signed exp-Golomb codes of one order, 0 or more, for integers of any shape.

    Zero, 1, -1, 2, -2 ... become 0, 1, 2, 3, 4 ...; a value u takes 2 floor(log2(u / 2^order + 1))
    + 1 + order bits. Source: Teuhola, "A compression method for clustered bit-vectors" (1978).
    """
    values = integers.astype(np.int64)
    unsigned = np.where(values > 0, 2 * values - 1, -2 * values)
    _, exponent = np.frexp(((unsigned >> order) + 1).astype(np.float64))
    return int((2 * (exponent - 1) + 1 + order).sum())


def best_exp_golomb_bits(integers: NDArray[np.int32]) -> int:
    """Bits under the best order of 0 to MAX_ORDER."""
    return min(exp_golomb_bits(integers, order) for order in range(MAX_ORDER + 1))


def group_integers(
    arch: Architecture, integers: dict[str, NDArray[np.int32]]
) -> dict[str, NDArray[np.int32]]:
    """All integers of each group, one axis, in file order."""
    return {
        group: np.concatenate(
            [integers[spec.name].ravel() for spec in tensor_specs(arch) if spec.group == group]
        )
        for group in group_names(arch)
    }


def report(path: Path) -> None:
    """Print the table of one file."""
    container = unpack(path.read_bytes())
    arch = container.header.architecture
    prior = load_prior(arch, container.header.prior)
    quantised = read_parameters(arch, container.parameters(0), prior)
    print(f"{path}: parameter section of {len(container.parameters(0))} bytes")
    print(f"{'group':<22}{'number':>8}{'laplace':>10}{'exp-golomb':>12}")
    totals = np.zeros(3)
    for group, integers in group_integers(arch, dict(quantised.integers)).items():
        row = len(integers), parameter_bits(integers)[0], best_exp_golomb_bits(integers)
        totals += row
        print(f"{group:<22}{row[0]:>8}{row[1]:>10.0f}{row[2]:>12}")
    print(f"{'all':<22}{totals[0]:>8.0f}{totals[1]:>10.0f}{totals[2]:>12.0f}")


def main() -> None:
    """Read the command line and report on each file."""
    parser = argparse.ArgumentParser(description="Laplace against exp-Golomb parameter coding.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.givre")
    for path in parser.parse_args().files:
        report(path)


if __name__ == "__main__":
    main()
