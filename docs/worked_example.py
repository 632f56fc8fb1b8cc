"""Print the worked example of the format document: bytes of a file, numbers inside others.

python docs/worked_example.py
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from textwrap import wrap

import numpy as np
from numpy.typing import NDArray

from givre.bitstream import alpha_mask
from givre.bitstream.container import Container, payload_bytes, unpack
from givre.bitstream.header import Alpha, Header
from givre.bitstream.header_code import write_header
from givre.bitstream.laplace_counts import cumulative_counts
from givre.bitstream.latents import LatentReader
from givre.bitstream.metadata_sections import SECTION_NAMES
from givre.bitstream.parameters import QuantisedParameters, read_parameters
from givre.bitstream.priors import load_prior
from givre.bitstream.rangecoder import SymbolDecoder
from givre.bitstream.sample_range import write_range
from givre.bitstream.scales import LATENT_SCALES
from givre.bitstream.tiling import write_tiling
from givre.bitstream.varint import ByteReader, encode_varint
from givre.coder.decoder import decode_samples, grid_predictor
from givre.models.architecture import Architecture, architecture_name, group_names
from givre.models.context import context_offsets
from givre.models.exact.numpy_backend import (
    NumpyBackend,
    preconcat_pass,
    to_grid,
    transposed_pass,
)
from givre.models.geometry import LATENT_MAX, LATENT_MIN, Grid, grids

STREAMS = Path(__file__).resolve().parents[1] / "tests" / "conformance"
BYTES_OF = STREAMS / "fitted-lop-32x24x1.givre"
NUMBERS_OF = STREAMS / "worked-12x9.givre"
HEADER_OF = STREAMS / "every-field.givre"
MASK_OF = STREAMS / "worked-mask-8x5.givre"

LATENTS = {"h3": [(1, 1)], "y3": [(1, 1)], "y1": [(2, 3)], "y0": [(4, 6)]}
"""The latents whose prediction is printed: label of the grid to rows and columns."""

PIXEL = (2, 2)
"""Row and column of the pixel whose synthesis is printed."""

WAVES = 5
"""Waves of the mask whose decisions are printed."""

Doubles = NDArray[np.float64]
Field = tuple[int, str]
"""Bytes of a field and what it says."""


# --- bytes --------------------------------------------------------------------------------------


def varint_field(value: int, meaning: str) -> Field:
    """A field that is a varint."""
    return len(encode_varint(value)), meaning


def fields(data: bytes) -> Iterator[Field]:
    """Every field of a file, in order; fields without bytes are left out."""
    yield from (field for field in all_fields(data) if field[0])


def all_fields(data: bytes) -> Iterator[Field]:
    """Every field of a file, in order; some may have no bytes."""
    container = unpack(data)
    header = container.header
    yield from picture_fields(data, header)
    for i in range(len(header.tiles)):
        yield from tile_fields(header, i)
    shared = header.shared_parameter_bytes
    yield shared, "parameter section of all tiles"
    for i, tile in enumerate(header.tiles):
        of_tile = f" of tile {i}" if header.tiling else ""
        yield tile.parameter_bytes, f"parameter section{of_tile}"
        yield tile.latent_bytes, f"latent section{of_tile}"
        yield tile.mask_bytes, f"mask section{of_tile}"
    if header.has_metadata:
        yield from section_fields(ByteReader(data[header_bytes(header) + payload_bytes(header) :]))
    yield 4, "CRC-32 of all that precedes"


def header_bytes(header: Header) -> int:
    """Bytes of a header."""
    return len(write_header(header))


def section_fields(reader: ByteReader) -> Iterator[Field]:
    """The fields of the sections after the pixels, at which the reader is."""
    number = reader.varint("number of sections")
    yield varint_field(number, f"{number} sections after the pixels")
    for _ in range(number):
        kind, length = reader.u8("kind"), reader.varint("length")
        checksum = reader.u32("checksum")
        reader.take(length, "content")
        name = SECTION_NAMES.get(kind & 127, "unknown")
        yield 1, f"kind {kind & 127}, {name}{', compressed' * (kind > 127)}"
        yield varint_field(length, f"content: {length} bytes")
        yield 4, f"CRC-32 of the content, {checksum:08x}"
        yield length, "content"


def picture_fields(data: bytes, header: Header) -> Iterator[Field]:
    """The fields of a header that belong to the whole picture."""
    arch, decoder, pixel_format = header.architecture, data[4], data[5 + 7 * (data[4] & 7 == 7)]
    name = architecture_name(arch)
    prior = f"prior {header.prior}" if header.prior else "no prior"
    grids_follow, depth_follows = decoder & 8, pixel_format & 4
    yield 3, "magic number"
    yield 1, "version"
    notes = [name or "custom", "other grids" if grids_follow else "usual grids"]
    notes += [f"range code {decoder >> 4 & 3}"]
    notes += ["tiles"] * bool(decoder & 64) + ["sections after the pixels"] * bool(decoder & 128)
    yield 1, f"decoder: {', '.join(notes)}"
    yield 0 if name else 7, "custom architecture"
    bits = "depth follows" if depth_follows else "8 bits"
    alpha = {Alpha.NONE: "", Alpha.MASK: "alpha is a mask, ", Alpha.SOFT: "soft alpha, "}
    channels = f"{header.channels} channel{'s' * (header.channels > 1)}"
    yield 1, f"format: {channels}, {alpha[header.alpha]}{bits}, {prior}"
    yield varint_field(header.width - 1, f"width {header.width}, less 1")
    yield varint_field(header.height - 1, f"height {header.height}, less 1")
    yield 1 if depth_follows else 0, f"{header.bit_depth} bits a sample"
    if header.tiling is not None:
        tiling = header.tiling
        notes = ["shared parameters"] * tiling.shared + ["overlap"] * (tiling.overlap > 0)
        notes.append(f"{tiling.width} x {tiling.height} pixels")
        yield len(write_tiling(tiling)), f"tiling: {', '.join(notes)}"
    levels, hyper = arch.n_levels, arch.n_hyper
    yield 1 if grids_follow else 0, f"grids: L = {levels}, Y = {hyper}"
    shared = header.shared_parameter_bytes
    if header.shares_parameters:
        yield varint_field(shared, f"parameter section of all tiles: {shared} bytes")


def tile_fields(header: Header, index: int) -> Iterator[Field]:
    """The fields of a header that belong to a tile."""
    tile, code = header.tiles[index], header.range_code
    for c, (low, high) in enumerate(zip(tile.sample_low, tile.sample_high, strict=True)):
        n_bytes = len(write_range((low,), (high,), header.bit_depth, code))
        yield n_bytes, f"output {c}: samples {low} to {high}"
    if not header.shares_parameters:
        yield varint_field(tile.parameter_bytes, f"parameter section: {tile.parameter_bytes} bytes")
    yield varint_field(tile.latent_bytes, f"latent section: {tile.latent_bytes} bytes")
    if header.alpha is not Alpha.NONE:
        yield varint_field(tile.mask_bytes, f"mask section: {tile.mask_bytes} bytes")
    yield 4, f"CRC-32 of the samples, {tile.pixel_crc:08x}"


def dump(data: bytes) -> str:
    """Hex dump, one field after the other, sixteen bytes a line."""
    return "\n".join(line for _, line in dump_lines(data))


def dump_lines(data: bytes) -> Iterator[tuple[int, str]]:
    """Offset and text of each line of a dump."""
    position = 0
    for length, meaning in fields(data):
        part = data[position : position + length]
        for start in range(0, length, 16):
            text = part[start : start + 16].hex(" ")
            note = meaning if start == 0 else ""
            yield position + start, f"{position + start:4d}  {text:<47}  {note}".rstrip()
        position += length
    if position != len(data):
        raise ValueError(f"fields cover {position} bytes of {len(data)}")


def dump_without_payload(data: bytes) -> str:
    """The lines of the header, and of what follows the coded sections."""
    header = unpack(data).header
    first = header_bytes(header)
    last = first + payload_bytes(header)
    head = [line for offset, line in dump_lines(data) if offset < first]
    tail = [line for offset, line in dump_lines(data) if offset >= last]
    return "\n".join([*head, " ...", *tail])


def read(container: Container) -> QuantisedParameters:
    """What the parameter section holds."""
    arch = container.header.architecture
    prior = load_prior(arch, container.header.prior)
    return read_parameters(arch, container.parameters(0), prior)


def steps(arch: Architecture, quantised: QuantisedParameters, tensors: Iterable[str]) -> str:
    """The step of each group, and the integers of some tensors."""
    lines = [f"{group:<22} q = {quantised.exponents[group]}" for group in group_names(arch)]
    for name in tensors:
        text = f"{name} = {quantised.integers[name].ravel().tolist()}"
        lines += wrap(text, 92, subsequent_indent="    ", break_on_hyphens=False)
    return "\n".join(lines)


# --- entropy model ------------------------------------------------------------------------------


class RecordingBackend(NumpyBackend):
    """The NumPy decoder, which keeps the last contexts that it got and what it made of them."""

    last: tuple[Doubles, Doubles, NDArray[np.int64]]

    def arm(self, context: Doubles) -> tuple[Doubles, NDArray[np.int64]]:
        """Mean and scale index (n,) from contexts (n, D)."""
        mean, index = super().arm(context)
        self.last = context.copy(), mean, index
        return mean, index


def units(values: Doubles, bits: int = 16) -> str:
    """Numbers in units of 2^-bits, which makes them integers."""
    scaled = np.ldexp(values, bits).ravel()
    if (scaled != np.rint(scaled)).any():
        raise ValueError(f"not a multiple of 2^-{bits}")
    return " ".join(str(int(value)) for value in scaled)


def hidden_vector(parameters: Mapping[str, Doubles], context: Doubles) -> Doubles:
    """The output of the ARM's only hidden layer, (D,)."""
    weight, bias = parameters["arm.hidden.0.weight"], parameters["arm.hidden.0.bias"]
    return to_grid(np.maximum(0, weight @ context + bias + context))


def output_vector(parameters: Mapping[str, Doubles], context: Doubles, hidden: Doubles) -> Doubles:
    """The output of the ARM, (2,)."""
    total = parameters["arm.output.weight"] @ hidden + parameters["arm.output.bias"]
    return to_grid(total + parameters["arm.stabiliser.weight"] @ context)


def prediction(
    parameters: Mapping[str, Doubles],
    context: Doubles,
    mean: float,
    index: int,
    symbol: int,
) -> list[str]:
    """How one latent is predicted and what the range coder makes of it, a line a step."""
    hidden = hidden_vector(parameters, context)
    below = cumulative_counts(LATENT_MIN, LATENT_MAX, mean, float(LATENT_SCALES[index]))
    first, last = below[symbol - LATENT_MIN], below[symbol - LATENT_MIN + 1]
    return [
        f"    context       {units(context)}",
        f"    hidden        {units(hidden)}",
        f"    out           {units(output_vector(parameters, context, hidden))}",
        f"    mean          {units(np.array([mean]), 8)} x 2^-8",
        f"    scale index   {index}",
        f"    counts        {first} to {last}",
        f"    latent        {symbol}",
    ]


def decoded_grids(
    container: Container, parameters: Mapping[str, Doubles]
) -> tuple[list[Doubles], dict[str, list[str]]]:
    """All grids, fine to coarse, and the lines of the latents of LATENTS, by grid."""
    header, reader = container.header, LatentReader(container.tiles[0].latents)
    backend = RecordingBackend(header.architecture, parameters)
    all_grids = grids(header.architecture, header.width, header.height)
    values: list[Doubles] = []
    lines: dict[str, list[str]] = {}
    for i in reversed(range(len(all_grids))):
        label = all_grids[i].label
        predictor = grid_predictor(backend, header.architecture, all_grids, i, values)
        found = {}
        for wave in predictor.waves():
            symbols = reader.read(*predictor.predict(*wave))
            for place, index in enumerate(predictor.indices(*wave)):
                position = divmod(int(index), all_grids[i].width)
                if position in LATENTS.get(label, []):
                    context, mean, scale = (part[place] for part in backend.last)
                    found[position] = [
                        f"{label[0]}_{label[1:]} at {position}, wave {wave[0]}",
                        *prediction(parameters, context, mean, int(scale), int(symbols[place])),
                    ]
            predictor.fill(*wave, symbols)
        lines[label] = [line for position in found for line in found[position]]
        values.insert(0, predictor.grid())
    return values, lines


def latent_rows(all_grids: Iterable[Grid], values: Iterable[Doubles]) -> str:
    """Every grid, in coding order."""
    lines = []
    for grid, latent in reversed(list(zip(all_grids, values, strict=True))):
        for row in range(grid.height):
            name = f"{grid.label[0]}_{grid.label[1:]}" if row == 0 else ""
            lines.append(f"{name:<4}" + "".join(f"{value:4.0f}" for value in latent[row]))
    return "\n".join(lines)


# --- upsampling and synthesis -------------------------------------------------------------------


def upsampled(parameters: Mapping[str, Doubles], main: list[Doubles]) -> tuple[Doubles, list[str]]:
    """The channels (L, H, W), and the first numbers of each channel after each stage."""
    dense, lines = main[-1][None], []
    for stage in range(len(main) - 1):
        target = main[-2 - stage]
        transposed = parameters[f"upsampling.transposed.{stage}.weight"]
        preconcat = parameters[f"upsampling.preconcat.{stage}.weight"]
        doubled = transposed_pass(transposed_pass(dense, transposed, 1), transposed, 2)
        filtered = preconcat_pass(preconcat_pass(target, preconcat, 0), preconcat, 1)
        cropped = doubled[:, : target.shape[0], : target.shape[1]]
        dense = np.concatenate([to_grid(target + filtered)[None], cropped])
        lines.append(f"after stage {stage}, row 0 from column 0")
        for channel, plane in enumerate(dense):
            lines.append(f"    z channel {channel}   {units(plane[0, :5])}")
    return dense, lines


def synthesised(
    parameters: Mapping[str, Doubles], dense: Doubles, n_residual: int
) -> tuple[Doubles, list[str]]:
    """The outputs (C, H, W), and what the layers make of the pixel PIXEL."""

    def layer(name: str, x: Doubles) -> Doubles:
        return np.tensordot(parameters[f"synthesis.{name}.weight"][:, :, 0, 0], x, 1)

    def bias(name: str) -> Doubles:
        return parameters[f"synthesis.{name}.bias"][:, None, None]

    row, column = PIXEL
    lines = [f"pixel {PIXEL}", f"    z             {units(dense[:, row, column])}"]

    def note(what: str, x: Doubles) -> None:
        lines.append(f"    {what:<12}  {units(x[:, row, column])}")

    h = to_grid(np.maximum(0, layer("hidden", dense) + bias("hidden")))
    note("hidden", h)
    h = to_grid(layer("output", h) + bias("output"))
    note("output", h)
    for i in range(n_residual):
        weight = parameters[f"synthesis.residual.{i}.weight"]
        padded = np.pad(h, ((0, 0), (1, 1), (1, 1)), mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
        h = to_grid(h + np.einsum("abij,byxij->ayx", weight, windows) + bias(f"residual.{i}"))
        if i < n_residual - 1:
            h = np.maximum(0, h)
        note(f"residual {i}", h)
    out = to_grid(h + layer("stabiliser", dense))
    note("out", out)
    return out, lines


def numbers(data: bytes) -> list[str]:
    """The parts of the example that follow a file from its parameters to its samples."""
    container = unpack(data)
    header, arch = container.header, container.header.architecture
    quantised = read(container)
    parameters = quantised.values(arch)
    values, predictions = decoded_grids(container, parameters)
    all_grids = grids(arch, header.width, header.height)
    main = [y for grid, y in zip(all_grids, values, strict=True) if not grid.hyper]
    dense, stages = upsampled(parameters, main)
    out, layers = synthesised(parameters, dense, arch.n_residual)
    samples = decode_samples(data)
    tile = header.tiles[0]
    low, high = (np.array(end)[:, None, None] for end in (tile.sample_low, tile.sample_high))
    if (
        low + np.floor((high - low) * np.clip(out, 0, 1) + 0.5) != np.moveaxis(samples, 2, 0)
    ).any():
        raise ValueError("the example's samples are not those of the decoder")
    layers.append(f"    samples       {' '.join(map(str, samples[PIXEL]))}")
    first = "  ".join(",".join(map(str, pixel)) for pixel in samples[0, :8])
    return [
        steps(arch, quantised, quantised.integers),
        latent_rows(all_grids, values),
        "\n".join(line for label in LATENTS for line in predictions[label]),
        "\n".join(stages),
        "\n".join([*layers, f"row 0 from column 0\n    samples       {first}"]),
    ]


# --- mask ---------------------------------------------------------------------------------------


def mask_lines(data: bytes) -> list[str]:
    """The parts of the example that follow a mask: its bytes and classes, its first decisions."""
    container = unpack(data)
    header, section = container.header, container.tiles[0].mask
    classes = alpha_mask.read_mask(section, header.width, header.height, has_between=True)
    lines = [section[start : start + 16].hex(" ") for start in range(0, len(section), 16)]
    lines += [f"row {y}  {' '.join(map(str, row))}" for y, row in enumerate(classes)]
    return ["\n".join(lines), "\n".join(decisions(container))]


def decisions(container: Container) -> Iterator[str]:
    """A line for each decision of the first waves of a soft mask, before its wave is counted."""
    header, decoder = container.header, SymbolDecoder(container.tiles[0].mask)
    known = np.zeros((header.height, header.width), int)
    counts = {"end": np.ones((729, 2), int), "opaque": np.ones((729, 2), int)}
    yield "wave  pixel   decision  pattern  zeros  ones  skew   mean  below(1)  outcome"
    for wave in range(WAVES):
        pixels = [(y, wave - 2 * y) for y in range(header.height)]
        pixels = [(y, x) for y, x in pixels if 0 <= x < header.width]
        patterns = {(y, x): pattern(known, y, x) for y, x in pixels}
        for kind in ("end", "opaque"):
            made = []
            for place in pixels:
                zeros, ones = counts[kind][patterns[place]]
                share = (min(zeros, ones) << 24) // (zeros + ones)
                skew = int((share < alpha_mask.STATE_THRESHOLDS).sum())
                mean = 0.5 + (skew if ones > zeros else -skew) / 4
                outcome = int(decoder.bits(np.array([mean]))[0])
                below = cumulative_counts(0, 1, mean, 1.0)[1]
                made.append((place, outcome))
                yield (
                    f"{wave:4d}  {place!s}  {kind:<8}  {patterns[place]:7d}  {zeros:5d} {ones:5d}"
                    f"  {skew:4d}  {mean:5.2f}  {below:8d}  {outcome:7d}"
                )
            for place, outcome in made:
                counts[kind][patterns[place], outcome] += 2
                if kind == "opaque":
                    known[place] = 1 + outcome
            pixels = [place for place, outcome in made if outcome]


def pattern(classes: NDArray[np.int64], y: int, x: int) -> int:
    """The number of the pattern of the neighbours of a pixel."""
    found = 0
    for i, (dy, dx) in enumerate(context_offsets(6)):
        if y + dy >= 0 and 0 <= x + dx < classes.shape[1]:
            found += 3**i * int(classes[y + dy, x + dx])
    return found


def main() -> None:
    """Print every part, with an empty line between two."""
    data = BYTES_OF.read_bytes()
    container = unpack(data)
    tensors = ("upsampling.transposed.0.weight", "synthesis.output.bias")
    first = steps(container.header.architecture, read(container), tensors)
    header = dump_without_payload(HEADER_OF.read_bytes())
    parts = [dump(data), first, header, *numbers(NUMBERS_OF.read_bytes())]
    print("\n\n".join([*parts, *mask_lines(MASK_OF.read_bytes())]))


if __name__ == "__main__":
    main()
