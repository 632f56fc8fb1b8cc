"""Print the annotated bytes of a tiny file for the format document.

python docs/worked_example.py tests/conformance/constant-11x9.givre
"""

from __future__ import annotations

import sys
from pathlib import Path

from givre.bitstream.container import read_prefix, unpack
from givre.bitstream.parameters import read_parameters
from givre.bitstream.priors import load_prior
from givre.bitstream.sample_range import range_code
from givre.bitstream.varint import encode_varint
from givre.models.architecture import architecture_name, default_grids, group_names


def fields(data: bytes) -> list[tuple[int, str]]:
    """(length, meaning) of every field of a file of a named architecture, in order."""
    header = read_prefix(data)
    arch = header.architecture
    grids = arch.n_levels, arch.n_hyper
    usual = grids == default_grids(header.width, header.height)
    code = range_code(header.sample_low, header.sample_high, header.bit_depth)
    prior = f"prior {header.prior}" if header.prior else "no prior"
    found = [
        (3, "magic number"),
        (1, "version"),
        (1, f"decoder: {architecture_name(arch)}, {'usual' if usual else 'other'} grids, "
            f"range code {code}"),
        (1, f"pixel format: {arch.n_channels} channels, {header.bit_depth} bits, {prior}"),
        (len(encode_varint(header.width - 1)), f"width {header.width}, less 1"),
        (len(encode_varint(header.height - 1)), f"height {header.height}, less 1"),
    ]  # fmt: skip
    if not usual:
        found.append((1, f"grids: {grids[0]} levels, {grids[1]} hyper-latents"))
    for c, (low, high) in enumerate(zip(header.sample_low, header.sample_high, strict=True)):
        if code:  # which is also the number of bytes a channel, of 8-bit samples
            found.append((code, f"channel {c}: samples {low} to {high}"))
    for name, length in (
        ("parameter", header.parameter_bytes),
        ("latent", header.latent_bytes),
    ):
        found.append((len(encode_varint(length)), f"{name} section: {length} bytes"))
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
