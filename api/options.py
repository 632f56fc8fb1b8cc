"""What may be asked of a fit, as keyword arguments of `givre.encode` and `givre.overfit`."""

from __future__ import annotations

from typing import TypedDict


class FitOptions(TypedDict, total=False):
    """Settings of a fit; what is left out takes its default.

    The size of the file follows from one of `quality`, `lmbda`, `target_bpp`, `target_psnr` and
    `target_size`, the time that it takes from one of `effort` and `steps`.

    Attributes:
        quality: 0 to 100, higher is better.
        lmbda: weight of the rate in bits a pixel against the squared error of samples in [0, 1],
            above 0; 0.02 gives small files, 0.0001 good ones. The default is 0.001.
        target_bpp: bits a pixel that the file shall have, met within 2 %. Not for `overfit`.
        target_psnr: PSNR in dB that the decoded file shall have, met within 0.1 dB. Not for
            `overfit`.
        target_size: bytes that the file may have at most; it is filled to 98 % where that is
            possible. Not for `overfit`.
        effort: 0 to 9, more takes longer and compresses better. The default is 5.
        steps: optimisation steps, at least 1.
        complexity: size of the decoder, "lop", "mop", "hop" or "vhop": about 500, 1000, 2000 and
            3000 multiplications a pixel; "auto", the default, chooses by lambda.
        seed: the same seed, machine and threads give the same bytes. The default is 0.
        ups_init: interpolation that the upsampling filters start from, "bilinear", "bicubic" or
            "kaiser"; by default that follows from their size. It is not in the file.
        prior: number of the prior, a decoder learned on photographs, that the fit starts from and
            the file is coded against; 0 for none. By default it is the one closest in lambda.
        threads: CPU threads, 0, the default, for all cores.
        device: where torch fits, as "cpu" (the default) or "cuda".
        kernels: "fused" (compiled, on the CPU), "reference" (plain torch and NumPy), or "auto",
            the default.
    """

    quality: float | None
    lmbda: float | None
    target_bpp: float | None
    target_psnr: float | None
    target_size: int | None
    effort: int | None
    steps: int | None
    complexity: str | None
    seed: int | None
    ups_init: str | None
    prior: int | None
    threads: int | None
    device: str | None
    kernels: str | None
