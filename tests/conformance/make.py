"""Write the conformance streams and the hashes of their pixels.

They pin the meaning of the format: within a format version they are never written again, only
added to. Run `python tests/conformance/make.py` in the repository to add a missing one.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent))

from exact_cases import (
    architecture,
    extreme_latents,
    extreme_parameters,
    header_for,
    random_latents,
    random_parameters,
)

from givre.bitstream.container import Container, pack, samples_crc
from givre.bitstream.latents import write_latents
from givre.bitstream.parameters import QuantisedParameters, write_parameters
from givre.coder.decoder import decode_samples, reconstruct
from givre.coder.encoder import coded_latents, encode_samples
from givre.coder.fitting.settings import FitSettings
from givre.models.architecture import NAMED_POINTS, Architecture
from givre.models.exact.numpy_backend import NumpyBackend


def synthetic(
    arch: Architecture,
    size: tuple[int, int],
    quantised: QuantisedParameters,
    latents: list,
    samples: tuple[int, int] = (3, 250),
) -> bytes:
    """A stream with given parameters, latents and range, whatever picture they make."""
    low, high = ((end,) * arch.n_channels for end in samples)
    header = replace(header_for(arch, *size), sample_low=low, sample_high=high)
    backend = NumpyBackend(arch, quantised.values(arch))
    parameters = write_parameters(arch, quantised)
    section = write_latents(coded_latents(backend, header, latents))
    decoded = reconstruct(backend, header, latents, 1)
    header = replace(
        header,
        parameter_bytes=len(parameters),
        latent_bytes=len(section),
        pixel_crc=samples_crc(decoded),
        prior=quantised.prior.number,
    )
    return pack(Container(header, parameters, section))


def picture(width: int, height: int, channels: int) -> np.ndarray:
    """A small picture with edges, gradients and texture."""
    y, x = np.mgrid[:height, :width]
    planes = [
        128 + 100 * np.sin(x / (3 + c)) * np.cos(y / (5 - c)) + 20 * ((x + y * (c + 1)) % 7 > 3)
        for c in range(channels)
    ]
    return np.clip(np.stack(planes, axis=2), 0, 255).astype(np.uint8)


def streams() -> dict[str, bytes]:
    """Every conformance stream by name."""
    found: dict[str, bytes] = {}
    for name, size, channels in [
        ("lop", (33, 17), 3), ("mop", (20, 40), 1), ("hop", (48, 31), 3), ("vhop", (25, 25), 4),
        ("hop", (1, 1), 3), ("lop", (7, 1), 2), ("hop", (1, 5), 1), ("hop", (65, 63), 3),
    ]:  # fmt: skip
        arch = architecture(name, channels=channels, levels=7)
        quantised, latents = random_parameters(arch, seed=size[0]), random_latents(arch, *size, 1)
        label = f"random-{name}-{size[0]}x{size[1]}x{channels}"
        found[label] = synthetic(arch, size, quantised, latents)
    for low, high in [(0, 255), (5, 201)]:
        arch = replace(NAMED_POINTS["mop"], n_channels=2)
        quantised, latents = random_parameters(arch, seed=low), random_latents(arch, 26, 19, low)
        stream = synthetic(arch, (26, 19), quantised, latents, (low, high))
        found[f"range-{low}-{high}-mop-26x19x2"] = stream
    for exponent in (0, 8, 15):
        arch = architecture("hop", levels=7)
        quantised = extreme_parameters(arch, exponent, seed=exponent)
        latents = extreme_latents(arch, 24, 18, seed=exponent)
        found[f"extreme-hop-q{exponent}"] = synthetic(arch, (24, 18), quantised, latents)
    custom = Architecture(
        n_spatial=3, n_features=1, synthesis_hidden=5, n_residual=3, n_arm_hidden=1,
        ups_k_size=4, ups_preconcat_k_size=3, n_levels=4, n_hyper=1, n_channels=3,
    )  # fmt: skip
    quantised, latents = random_parameters(custom, seed=2), random_latents(custom, 30, 22, 2)
    found["custom-30x22"] = synthetic(custom, (30, 22), quantised, latents)
    for channels, complexity in [(3, "hop"), (1, "lop"), (4, "lop")]:
        settings = FitSettings(lmbda=1e-3, steps=60, complexity=complexity, threads=1, prior=0)
        encoded = encode_samples(picture(32, 24, channels), settings)
        found[f"fitted-{complexity}-32x24x{channels}"] = encoded.data
    for channels, complexity, number in [(3, "hop", 3), (3, "lop", 1), (1, "mop", 2)]:
        settings = FitSettings(lmbda=1e-3, steps=20, complexity=complexity, threads=1, prior=number)
        encoded = encode_samples(picture(40, 24, channels), settings)
        found[f"prior{number}-{complexity}-40x24x{channels}"] = encoded.data
    constant = np.full((9, 11, 3), 200, np.uint8)
    settings = FitSettings(lmbda=1e-3, steps=5, complexity="lop", threads=1, prior=0)
    found["constant-11x9"] = encode_samples(constant, settings).data
    return found


def main() -> None:
    """Add the streams that are missing."""
    index_path = FOLDER / "pixels.json"
    index = json.loads(index_path.read_text()) if index_path.exists() else {}
    for name, data in streams().items():
        if name in index:
            continue
        samples = decode_samples(data)
        (FOLDER / f"{name}.givre").write_bytes(data)
        index[name] = {
            "shape": list(samples.shape),
            "sha256": sha256(samples.tobytes()).hexdigest(),
        }
    index_path.write_text(json.dumps(index, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
