"""Decode a givre file with NumPy alone: docs/FORMAT.md as a program, to be read along with it.

    python docs/minimal_decoder.py picture.givre picture.png [folder of the priors]

It writes PNG or, for a name that ends in .npy, the samples. Names are those of the document, and
so are the numbers of the sections in the comments. It decodes every valid file up to 2^24 pixels,
slowly. It checks the checksums, but not all rules that a decoder must check, and it skips what
follows the pixels. All sums are exact in binary64, in whatever order NumPy makes them.
"""

from __future__ import annotations

import struct
import sys
import zlib
from bisect import bisect_right
from collections import namedtuple
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

Array = np.ndarray
Parameters = dict[str, Array]

Decoder = namedtuple("Decoder", "S F A K T k p L Y E C B point prior alpha")
Tile = namedtuple("Tile", "y x H W weights low high parameters latents mask crc")

PRIORS = Path(__file__).resolve().parents[1] / "bitstream" / "priors"
MAX_PIXELS, MAX_TILES = 1 << 24, 1 << 12

ARCHITECTURES = {1: ("lop", 6, 2, 2, 8, 1, 8, 7), 2: ("mop", 10, 4, 2, 16, 2, 8, 7)}
ARCHITECTURES |= {3: ("hop", 14, 6, 2, 48, 2, 8, 7), 4: ("vhop", 20, 6, 2, 64, 2, 8, 7)}
CUSTOM = ((1, 40), (0, 16), (0, 4), (1, 128), (0, 4), (4, 16), (1, 15))
# Sections 13 and 16. The document lists what these formulas give.
LATENT_SCALES = np.rint(np.exp(np.arange(321) / 32 - 5) * 2**20) / 2**20
PARAMETER_SCALES = np.rint(2 ** ((np.arange(64) - 1) / 4 - 3) * 2**20) / 2**20
MASK_THRESHOLDS = np.rint(2**23 * np.exp(-(np.arange(40) + 0.5) / 4))

# Section 5: q0 and i0 of each group of a file with a prior.
GUESSES = {"arm.hidden": (4, 4), "arm.bias": (2, 8), "arm.output": (5, 12)}
GUESSES |= {"ifce.weight": (4, 9), "ifce.bias": (4, 8)}
GUESSES |= {"ups.transposed": (6, 15), "ups.preconcat": (5, 12)}
GUESSES |= {"synthesis.hidden": (6, 4), "synthesis.bias": (5, 17), "synthesis.output": (3, 13)}
GUESSES |= {"synthesis.residual": (5, 12), "synthesis.stabiliser": (7, 23)}

# Section 6: neighbours that are decoded before a latent, from near to far.
REACH = 4
OFFSETS = [(dy, dx) for dy in range(-REACH, 1) for dx in range(-REACH, REACH + 1)]
OFFSETS = [(dy, dx) for dy, dx in OFFSETS if dy < 0 or dx < 0]
OFFSETS.sort(key=lambda place: (place[0] ** 2 + place[1] ** 2, -place[0], place[1]))


# --- sections 1 to 3: bytes and the header -------------------------------------------------------


class Reader:
    """Takes numbers from the front of bytes."""

    def __init__(self, data: bytes) -> None:
        self.data, self.position = data, 0

    def take(self, n: int) -> bytes:
        """The next n bytes; ValueError if they are not all there."""
        self.position += n
        if self.position > len(self.data):
            raise ValueError("the file is cut short")
        return self.data[self.position - n : self.position]

    def number(self, n_bytes: int) -> int:
        """The next u8, u16 or u32."""
        return int.from_bytes(self.take(n_bytes), "little")

    def varint(self) -> int:
        """The next varint."""
        value = 0
        for shift in range(0, 35, 7):
            byte = self.number(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise ValueError("a number of the file is damaged")


def read_header(r: Reader) -> tuple[Decoder, list[Tile], int, bool]:
    """The decoder, the tiles, the bytes of shared parameters, and whether sections follow."""
    if r.take(4) != b"\x8fGV\x04":
        raise ValueError("not a givre file of version 4")
    flags = r.number(1)
    code = flags & 7
    if code != 7 and code not in ARCHITECTURES:
        raise ValueError(f"the code {code} of the architecture is reserved")
    point, *sizes = ("custom", *r.take(7)) if code == 7 else ARCHITECTURES[code]
    pixel_format = r.number(1)
    channels, prior = (pixel_format & 3) + 1, pixel_format >> 4
    alpha = "none" if channels % 2 else "mask" if pixel_format & 8 else "soft"
    width, height = r.varint() + 1, r.varint() + 1
    depth = r.number(1) if pixel_format & 4 else 8
    tiling = r.number(1) if flags & 64 else 0
    shares, overlap = tiling & 1, 4 * (tiling & 2)
    columns, rows = (64 * (r.varint() + 1) if flags & 64 else side for side in (width, height))
    n_tiles = -(-width // columns) * -(-height // rows)
    if width * height > MAX_PIXELS or n_tiles > MAX_TILES:
        raise ValueError("the picture is too large for this decoder, or has too many tiles")
    pixels = min(columns, width) * min(rows, height)
    n_main = 7 + (pixels >= 1000000) + (pixels >= 3000000)
    n_hyper, n_main = divmod(r.number(1), 16) if flags & 8 else (n_main - 4, n_main)
    outputs = channels - (alpha == "mask")
    allowed = all(low <= size <= high for size, (low, high) in zip(sizes, CUSTOM, strict=True))
    if not (allowed and 2 <= n_main <= 15 and n_hyper <= max(0, n_main - 3)):
        raise ValueError("the sizes of the architecture are not allowed, the file is damaged")
    n_served = min(3, n_main - 1) if sizes[1] else 0
    d = Decoder(*sizes, n_main, n_hyper, n_served, outputs, depth, point, prior, alpha)
    shared_bytes, tiles = r.varint() if shares else 0, []
    for y, h, down in spans(height, rows, overlap):
        for x, w, across in spans(width, columns, overlap):
            place = y, x, h, w, down[:, None, None] * across[:, None]
            low, high = read_range(r, d, flags >> 4 & 3)
            lengths = 0 if shares else r.varint(), r.varint(), 0 if alpha == "none" else r.varint()
            tiles.append(Tile(*place, low, high, *lengths, r.number(4)))
    return d, tiles, shared_bytes, bool(flags & 128)


def spans(length: int, side: int, overlap: int) -> Iterator[tuple[int, int, Array]]:
    """First place, number of places and their weights of the tiles along one axis."""
    for a in range(0, length, side):
        b = a + side
        first, last = max(a - overlap, 0), min(b + overlap, length)
        places = np.arange(first, last)
        weights = np.full(last - first, 32)
        if a > 0 and overlap:
            weights = np.minimum(weights, 2 * (places - a) + 17)
        if b < length and overlap:
            weights = np.minimum(weights, 15 - 2 * (places - b))
        yield first, last - first, weights


def read_range(r: Reader, d: Decoder, code: int) -> tuple[Array, Array]:
    """Low and high of each output."""
    largest, size = 2**d.B - 1, 1 if d.B == 8 else 2
    if code == 0:
        pairs = [(0, largest)] * d.C
    elif code == 1:
        pairs = [(byte & 15, largest - (byte >> 4)) for byte in r.take(d.C)]
    else:
        pairs = [(r.number(size), r.number(size)) for _ in range(d.C)]
    low, high = np.array(pairs, float).T
    return low, high


# --- section 4: the range coder ------------------------------------------------------------------


class Message:
    """A message, of which symbols are decoded one after the other."""

    def __init__(self, data: bytes) -> None:
        self.data, self.position = data, 8
        self.width, self.offset = 2**64 - 1, int.from_bytes(data[:8].ljust(8, b"\0"), "big")

    def symbol(self, below: Sequence[int] | Array) -> int:
        """Place of the next symbol among those of its model; `below` has one number more."""
        unit = self.width >> 24
        target = self.offset // unit
        if target >= 2**24:
            raise ValueError("a message is damaged")
        v = bisect_right(below, target) - 1
        self.offset -= unit * int(below[v])
        self.width = unit * (int(below[v + 1]) - int(below[v]))
        if self.width < 2**32:
            word = self.data[self.position : self.position + 4].ljust(4, b"\0")
            self.offset = (self.offset << 32) + int.from_bytes(word, "big")
            self.width, self.position = self.width << 32, self.position + 4
        return v

    def uniform(self, size: int) -> int:
        """The next symbol under the uniform model."""
        return self.symbol([v * (2**24 // size) for v in range(size)] + [2**24])

    def laplace(self, first: int, last: int, mean: float, scale: float) -> int:
        """The next symbol under a Laplace model."""
        return first + self.symbol(laplace_counts(first, last, np.array([mean]), scale)[0])


def laplace_counts(first: int, last: int, mean: Array, scale: Array | float) -> Array:
    """below(first) .. below(last + 1) for each mean, (n, last - first + 2)."""
    v, size = np.arange(first, last + 2), last - first + 1
    distance = v - 0.5 - mean[:, None]
    tail = 0.5 * np.exp(-abs(distance) / np.reshape(scale, (-1, 1)))
    cdf = np.where(distance <= 0, tail, 1 - tail)
    below = np.floor((2**24 - size) * cdf).astype(int) + (v - first)
    below[:, 0], below[:, -1] = 0, 2**24
    return below


# --- sections 5 and 17: parameters and priors ----------------------------------------------------


def tensors(d: Decoder) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Group and shape of each tensor, in the order of the table."""
    n, t = d.S + d.F, {}
    for i in range(d.A):
        t[f"arm.hidden.{i}.weight"] = "arm.hidden", (n, n)
        t[f"arm.hidden.{i}.bias"] = "arm.bias", (n,)
    t["arm.output.weight"] = "arm.output", (2, n)
    t["arm.output.bias"] = "arm.bias", (2,)
    t["arm.stabiliser.weight"] = "arm.output", (2, n)
    for level in range(d.E):
        t[f"ifce.{level}.weight"] = "ifce.weight", (d.F, d.L - level - 1 + d.Y)
        t[f"ifce.{level}.bias"] = "ifce.bias", (d.F,)
    for kind, length in (("transposed", d.k // 2), ("preconcat", (d.p + 1) // 2)):
        for s in range(d.L - 1):
            t[f"upsampling.{kind}.{s}.weight"] = f"ups.{kind}", (length,)
    t["synthesis.hidden.weight"] = "synthesis.hidden", (d.K, d.L, 1, 1)
    t["synthesis.hidden.bias"] = "synthesis.bias", (d.K,)
    t["synthesis.output.weight"] = "synthesis.output", (d.C, d.K, 1, 1)
    t["synthesis.output.bias"] = "synthesis.bias", (d.C,)
    for i in range(d.T):
        t[f"synthesis.residual.{i}.weight"] = "synthesis.residual", (d.C, d.C, 3, 3)
        t[f"synthesis.residual.{i}.bias"] = "synthesis.bias", (d.C,)
    t["synthesis.stabiliser.weight"] = "synthesis.stabiliser", (d.C, d.L, 1, 1)
    return t


def read_integers(d: Decoder, data: bytes) -> tuple[Parameters, dict[str, int]]:
    """The integers n of each tensor and the exponent q of each group."""
    message, n, q = Message(data), {}, {}
    for group in dict.fromkeys(group for group, _ in tensors(d).values()):
        q[group], below = 0, None
        if message.uniform(2):
            if d.prior:
                q0, i0 = GUESSES[group]
                q[group], index = message.laplace(0, 15, q0, 1), message.laplace(1, 63, i0, 4)
            else:
                q[group], index = message.uniform(16), message.uniform(63) + 1
            below = laplace_counts(-4095, 4095, np.zeros(1), PARAMETER_SCALES[index])[0]
        for name, (its_group, shape) in tensors(d).items():
            if its_group == group:
                n[name] = np.zeros(shape)
                if below is not None:
                    n[name].flat = [message.symbol(below) - 4095 for _ in range(n[name].size)]
    return n, q


def read_parameters(d: Decoder, data: bytes, priors: Path) -> Parameters:
    """Each tensor of the decoder."""
    n, q = read_integers(d, data)
    P, r = read_prior(d, priors) if d.prior else ({}, {})
    return {
        name: P.get(name, np.zeros(shape)) * 2.0 ** -r.get(group, 0) + n[name] * 2.0 ** -q[group]
        for name, (group, shape) in tensors(d).items()
    }


def read_prior(d: Decoder, folder: Path) -> tuple[Parameters, dict[str, int]]:
    """P of each tensor and r of each group, from the file of the prior that the header names."""
    data = (folder / f"{d.point}-{d.prior}.bin").read_bytes()
    base, r = read_integers(d._replace(L=7, Y=3, C=3, prior=0), data)  # E is 3 for 7 levels or more
    extra, adapted = d.L - 7, {}
    for name, (group, _) in tensors(d).items():
        kind, layer, *rest = name.split(".")
        if kind == "upsampling":
            adapted[name] = base[f"upsampling.{layer}.{max(0, int(rest[0]) - extra)}.weight"]
            continue
        prior = base[name]
        if group == "ifce.weight":
            prior = np.pad(prior, ((0, 0), (0, 2 * extra)))
        if group in ("synthesis.hidden", "synthesis.stabiliser"):
            prior = np.concatenate([prior] + [prior[:, -1:]] * extra, axis=1)
        if kind == "synthesis" and layer != "hidden":
            square = group == "synthesis.residual"
            if d.C <= 2:
                prior = prior[1:2]
                prior = prior.sum(axis=1, keepdims=True) if square else prior
            if d.C % 2 == 0:
                pads = [(0, 1), (0, int(square)), (0, 0), (0, 0)]
                prior = np.pad(prior, pads[: prior.ndim])
        adapted[name] = prior
    return adapted, r


# --- sections 6 to 9: the latents ----------------------------------------------------------------


def R(v: Array) -> Array:
    """The only rounding."""
    return np.clip(np.floor(v * 2**16 + 0.5) * 2**-16, -(2**11), 2**11)


def waves(height: int, width: int, step: int) -> Iterator[tuple[Array, Array]]:
    """Rows and columns of the places of each wave."""
    for t in range(width + step * (height - 1)):
        y = np.arange(max(0, -((width - 1 - t) // step)), min(height, t // step + 1))
        yield y, t - step * y


def read_latents(d: Decoder, p: Parameters, tile: Tile, data: bytes) -> list[Array]:
    """The main grids y_0, y_1, ..."""
    message, main = Message(data), []
    after: list[tuple[int, Array]] = []  # levels and grids that are decoded, from fine to coarse
    for level in reversed(range(d.L)):
        height, width = -(-tile.H // 2**level), -(-tile.W // 2**level)
        for is_main in (False, True) if level >= d.L - d.Y else (True,):
            features = np.zeros((d.F, height, width))
            if is_main and level < d.E:
                y, x = np.mgrid[:height, :width] // 2  # positions of level + 1
                g = np.array([grid[y >> i - level - 1, x >> i - level - 1] for i, grid in after])
                weight, bias = p[f"ifce.{level}.weight"], p[f"ifce.{level}.bias"]
                features = R(np.tensordot(weight, g, 1) + bias[:, None, None])
            grid = read_grid(d, p, message, features)
            after.insert(0, (level, grid))
        main.insert(0, grid)
    return main


def read_grid(d: Decoder, p: Parameters, message: Message, features: Array) -> Array:
    """One grid, whose features are (F, height, width)."""
    _, height, width = features.shape
    step = 1 + max([0] + [dx // -dy for dy, dx in OFFSETS[: d.S] if dy])
    padded = np.zeros((REACH + height, REACH + width + REACH))
    for y, x in waves(height, width, step):
        near = [padded[REACH + y + dy, REACH + x + dx] for dy, dx in OFFSETS[: d.S]]
        mean, index = predict(d, p, np.concatenate([near, features[:, y, x]]))
        below = laplace_counts(-64, 63, mean, LATENT_SCALES[index])
        padded[REACH + y, REACH + x] = [message.symbol(counts) - 64 for counts in below]
    return padded[REACH:, REACH : REACH + width]


def predict(d: Decoder, p: Parameters, context: Array) -> tuple[Array, Array]:
    """Means and scale indices of latents, from their contexts (D, n)."""
    v = context
    for i in range(d.A):
        weight, bias = p[f"arm.hidden.{i}.weight"], p[f"arm.hidden.{i}.bias"]
        v = R(np.maximum(0, weight @ v + bias[:, None] + v))
    out = p["arm.output.weight"] @ v + p["arm.output.bias"][:, None]
    out = R(out + p["arm.stabiliser.weight"] @ context)
    mean = np.clip(np.floor(out[0] * 2**8 + 0.5) * 2**-8, -64, 63.99609375)
    return mean, np.clip(np.floor((out[1] + 1) * 32 + 0.5), 0, 320).astype(int)


# --- sections 10 to 13: from latents to samples --------------------------------------------------


def transposed(u: Array, half: Array) -> Array:
    """The transposed filter along the rows of u: each line becomes twice as long."""
    taps, n = np.concatenate([half, half[::-1]]), u.shape[-1]
    j, k = np.arange(2 * n), len(taps)
    result = np.zeros((*u.shape[:-1], 2 * n))
    for place, tap in enumerate(taps):
        twice_i = j + k // 2 - 1 - place
        even = twice_i % 2 == 0
        result[..., even] += tap * u[..., np.clip(twice_i[even] // 2, 0, n - 1)]
    return R(result)


def preconcat(u: Array, half: Array) -> Array:
    """The pre-concatenation filter along the rows of u."""
    taps, n = np.concatenate([half, half[-2::-1]]), u.shape[-1]
    j, p = np.arange(n), len(taps)
    places = [np.clip(j + i - (p - 1) // 2, 0, n - 1) for i in range(p)]
    return R(sum(tap * u[..., place] for tap, place in zip(taps, places, strict=True)))


def both_ways(one_pass: Callable[[Array, Array], Array], u: Array, half: Array) -> Array:
    """A filter over the columns of u, then over the rows."""
    return one_pass(one_pass(u.swapaxes(-1, -2), half).swapaxes(-1, -2), half)


def upsample(d: Decoder, p: Parameters, main: list[Array]) -> Array:
    """The channels z, (L, H, W)."""
    z = main[-1][None]
    for s in range(d.L - 1):
        y = main[d.L - 2 - s]
        coarse = both_ways(transposed, z, p[f"upsampling.transposed.{s}.weight"])
        fine = R(y + both_ways(preconcat, y, p[f"upsampling.preconcat.{s}.weight"]))
        z = np.concatenate([fine[None], coarse[:, : y.shape[0], : y.shape[1]]])
    return z


def synthesise(d: Decoder, p: Parameters, z: Array) -> Array:
    """The outputs, (C, H, W)."""

    def layer(name: str, v: Array) -> Array:
        return np.tensordot(p[f"synthesis.{name}.weight"][:, :, 0, 0], v, 1)

    def bias(name: str) -> Array:
        return p[f"synthesis.{name}.bias"][:, None, None]

    v = R(np.maximum(0, layer("hidden", z) + bias("hidden")))
    v = R(layer("output", v) + bias("output"))
    for i in range(d.T):
        windows = np.pad(v, ((0, 0), (1, 1), (1, 1)), mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(windows, (3, 3), (1, 2))
        weight = p[f"synthesis.residual.{i}.weight"]
        v = R(v + np.einsum("abij,byxij->ayx", weight, windows) + bias(f"residual.{i}"))
        if i < d.T - 1:
            v = np.maximum(0, v)
    return R(v + layer("stabiliser", z))


def decisions(message: Message, counts: Array, patterns: Array) -> Array:
    """The outcomes of one sort of decision in a wave; `counts` are those of its patterns."""
    zeros, ones = counts[:, patterns]
    share = 2**24 * np.minimum(zeros, ones) // (zeros + ones)
    skew = (MASK_THRESHOLDS[:, None] > share).sum(axis=0)
    below = laplace_counts(0, 1, 0.5 + np.where(ones > zeros, skew, -skew) / 4, 1)
    outcomes = np.array([message.symbol(model) for model in below], int)
    np.add.at(counts, (outcomes, patterns), 2)
    large = counts.sum(axis=0) > 2**14
    counts[:, large] = (counts[:, large] + 1) >> 1
    return outcomes


def read_mask(d: Decoder, tile: Tile, data: bytes) -> Array:
    """Classes of the pixels, (H, W): 0 in between, 1 transparent, 2 opaque."""
    message, padded = Message(data), np.zeros((2 + tile.H, 2 + tile.W + 2), int)
    end_counts, opaque_counts = np.ones((2, 2, 3**6), int)
    for y, x in waves(tile.H, tile.W, 2):
        near = [padded[2 + y + dy, 2 + x + dx] for dy, dx in OFFSETS[:6]]
        patterns = 3 ** np.arange(6) @ np.array(near)
        ends = np.ones(len(y), bool)
        if d.alpha == "soft":
            ends = decisions(message, end_counts, patterns) == 1
        if ends.any():
            opaque = decisions(message, opaque_counts, patterns[ends])
            padded[2 + y[ends], 2 + x[ends]] = 1 + opaque
    return padded[2:, 2 : 2 + tile.W]


def decode_tile(d: Decoder, p: Parameters, tile: Tile, latents: bytes, mask: bytes) -> Array:
    """Samples of a tile, (H, W, channels)."""
    z = upsample(d, p, read_latents(d, p, tile, latents))
    out = np.moveaxis(synthesise(d, p, z), 0, 2)
    samples = tile.low + np.floor((tile.high - tile.low) * np.clip(out, 0, 1) + 0.5)
    if d.alpha != "none":
        classes, largest = read_mask(d, tile, mask), 2**d.B - 1
        colours, between = samples, 0
        if d.alpha == "soft":
            colours, between = samples[:, :, :-1], samples[:, :, -1].clip(1, largest - 1)
        alpha = np.where(classes == 0, between, np.where(classes == 2, largest, 0))
        samples = np.concatenate([colours, alpha[:, :, None]], axis=2)
    samples = samples.astype("u1" if d.B == 8 else "<u2")
    if zlib.crc32(samples.tobytes()) != tile.crc:
        raise ValueError("the samples do not match the checksum of the file")
    return samples


# --- the whole file ------------------------------------------------------------------------------


def decode(data: bytes, priors: Path = PRIORS) -> tuple[Array, int]:
    """Samples (H, W, channels) and their bits; ValueError if the file is damaged."""
    r = Reader(data)
    d, tiles, shared_bytes, has_sections = read_header(r)
    shared = r.take(shared_bytes)
    parts = [[r.take(n) for n in (t.parameters, t.latents, t.mask)] for t in tiles]
    for _ in range(r.varint() if has_sections else 0):  # section 14
        _, length, checksum = r.number(1), r.varint(), r.number(4)
        if zlib.crc32(r.take(length)) != checksum:
            raise ValueError("a section after the pixels is damaged")
    if r.number(4) != zlib.crc32(data[:-4]) or r.position != len(data):
        raise ValueError("the checksum of the file does not match")
    shape = max(t.y + t.H for t in tiles), max(t.x + t.W for t in tiles)
    sums = np.zeros((*shape, d.C + (d.alpha == "mask")), int)
    for tile, (parameters, latents, mask) in zip(tiles, parts, strict=True):
        p = read_parameters(d, shared or parameters, priors)
        samples = decode_tile(d, p, tile, latents, mask)
        sums[tile.y : tile.y + tile.H, tile.x : tile.x + tile.W] += tile.weights * samples
    return ((sums + 512) // 1024).astype(samples.dtype), d.B


def png(samples: Array, depth: int) -> bytes:
    """A PNG file; samples of 9 to 15 bits are spread over 16."""
    height, width, channels = samples.shape
    bits = 8 if depth == 8 else 16
    spread = np.rint(samples * ((2**bits - 1) / (2**depth - 1))).astype(f">u{bits // 8}")
    rows = b"".join(b"\0" + row.tobytes() for row in spread)
    colour_type = (0, 4, 2, 6)[channels - 1]
    head = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    file = b"\x89PNG\r\n\x1a\n"
    for kind, content in ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        file += struct.pack(">I", len(content)) + kind + content
        file += struct.pack(">I", zlib.crc32(kind + content))
    return file


def main(source: str, target: str, priors: str = str(PRIORS)) -> None:
    """Decode one file."""
    samples, depth = decode(Path(source).read_bytes(), Path(priors))
    if target.endswith(".npy"):
        np.save(target, samples)
    else:
        Path(target).write_bytes(png(samples, depth))


if __name__ == "__main__":
    main(*sys.argv[1:])
