"""What `givre.overfit` returns. Importing this module loads torch."""

from __future__ import annotations

from dataclasses import fields

from givre.coder.encoder import encode_fit
from givre.coder.files.reading import PictureSource, load_picture
from givre.coder.fitting.checkpoint import Fit
from givre.coder.report import Encoded


class FittedImage(Fit):
    """A fit, and the file that it can become; its attributes are those of `Fit`."""

    @classmethod
    def of(cls, fit: Fit) -> FittedImage:
        """The same fit with these methods."""
        return cls(**{field.name: getattr(fit, field.name) for field in fields(fit)})

    def encode(self, image: PictureSource | None = None) -> Encoded:
        """The coded file with its report; see `givre.coder.encoder.encode_fit`.

        Args:
            image: what was fitted, as `givre.encode` takes it. A fit that was loaded from a
                checkpoint needs it, and the file gets its metadata.

        Raises:
            UsageError: the fit was loaded from a checkpoint and the image is not given.
            CheckpointError: it is not the image that was fitted.
            CollapseError: the result is no better than a constant image although it should be.
        """
        return encode_fit(self, None if image is None else load_picture(image))

    def to_bytes(self, image: PictureSource | None = None) -> bytes:
        """The coded file, after it was decoded and checked; see `encode`."""
        return self.encode(image).data
