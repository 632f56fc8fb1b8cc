"""Print the annotated bytes of a tiny file for the format document.

python docs/worked_example.py tests/conformance/constant-11x9.givre
"""

from __future__ import annotations

import sys
from pathlib import Path

from givre.bitstream.container import read_prefix, unpack
from givre.bitstream.parameters import read_parameters
from givre.bitstream.priors import load_prior
from givre.models.architecture import group_names


def fields(data: bytes) -> list[tuple[int, str]]:
    """(length, meaning) of every field of a file of a named architecture, in order."""
    header = read_prefix(data)
    channels = header.architecture.n_channels
    found = [(4, "magic number"), (1, "version"), (1, "flags: none")]
    for name, value in (("width", header.width), ("height", header.height)):
        found.append((1 + (value > 127) + (value > 16383), f"{name} {value}"))
    prior = f"prior {header.prior}" if header.prior else "no prior"
    found.append((1, f"pixel format: {channels} channels, {header.bit_depth} bits, {prior}"))
    found.append((1, "architecture"))
    levels, hyper = header.architecture.n_levels, header.architecture.n_hyper
    found.append((1, f"grids: {levels} levels, {hyper} hyper-latents"))
    for c in range(channels):
        low, high = header.sample_low[c], header.sample_high[c]
        found.append((2, f"channel {c}: samples {low} to {high}"))
    for name, length in (
        ("parameter", header.parameter_bytes),
        ("latent", header.latent_bytes),
    ):
        size = 1 + (length > 127) + (length > 16383)
        found.append((size, f"{name} section: {length} bytes"))
    found.append((4, f"CRC-32 of the samples, {header.pixel_crc:08x}"))
    found.append((header.parameter_bytes, "parameter section"))
    found.append((header.latent_bytes, "latent section"))
    found.append((4, "CRC-32 of all that precedes"))
    return found


def dump(data: bytes) -> str:
    """Hex dump, one field after the other, sixteen bytes a line."""
    lines, position = [], 0
    for length, meaning in fields(data):
        part = data[position : position + length]
        for start in range(0, max(length, 1), 16):
            text = part[start : start + 16].hex(" ")
            note = meaning if start == 0 else ""
            lines.append(f"{position + start:4d}  {text:<47}  {note}".rstrip())
        position += length
    if position != len(data):
        raise ValueError(f"fields cover {position} bytes of {len(data)}")
    return "\n".join(lines)


def parameters(data: bytes) -> str:
    """What the parameter section holds: the step of each group and some integers."""
    container = unpack(data)
    arch = container.header.architecture
    prior = load_prior(arch, container.header.prior)
    quantised = read_parameters(arch, container.parameters, prior)
    lines = []
    for group in group_names(arch):
        exponent = quantised.exponents[group]
        lines.append(f"{group:<22} q = {exponent}")
    for name in ("upsampling.transposed.0.weight", "synthesis.output.bias"):
        lines.append(f"{name} = {quantised.integers[name].ravel().tolist()}")
    return "\n".join(lines)


if __name__ == "__main__":
    content = Path(sys.argv[1]).read_bytes()
    print(dump(content))
    print()
    print(parameters(content))
