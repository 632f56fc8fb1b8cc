"""What `givre.inspect` returns: the insides of a file, which draw themselves."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path

from givre.coder.inspection.inspection import Inspection


class InspectedFile(Inspection):
    """The insides of a file, which draw themselves; the attributes are those of `Inspection`."""

    @classmethod
    def of(cls, inspection: Inspection) -> InspectedFile:
        """The same with these methods."""
        names = (field.name for field in fields(inspection))
        return cls(**{name: getattr(inspection, name) for name in names})

    def plot_filters(self, path: str | os.PathLike[str], *, force: bool = False) -> None:
        """Draw the filters of every stage with their frequency responses into a PNG file.

        Args:
            path: the file; it is written whole or not at all.
            force: whether an existing file is replaced.

        Raises:
            UsageError: matplotlib is missing.
            OutputError: the name is none of a PNG file, the file exists and `force` is false, or
                it cannot be written.
        """
        from givre.coder.inspection.plots import filters_png, write_plot

        write_plot(lambda: filters_png(self), Path(path), force)

    def plot_latents(self, path: str | os.PathLike[str], *, force: bool = False) -> None:
        """Draw the picture, the map of bits, the latent grids and the upsampled stack into a PNG.

        Args:
            path: the file; it is written whole or not at all.
            force: whether an existing file is replaced.

        Raises:
            UsageError: matplotlib is missing.
            OutputError: the name is none of a PNG file, the file exists and `force` is false, or
                it cannot be written.
        """
        from givre.coder.inspection.plots import latents_png, write_plot

        write_plot(lambda: latents_png(self), Path(path), force)
