"""Keeps what image libraries say to themselves from the terminal."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_LIBRARIES = ("PIL", "imagecodecs", "tifffile")


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Within it, Python's warnings are dropped, and the libraries' log has a handler.

    A log that nobody handles goes to standard error. One that the program handles still gets all.
    """
    handler = logging.NullHandler()
    for library in _LIBRARIES:
        logging.getLogger(library).addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for library in _LIBRARIES:
            logging.getLogger(library).removeHandler(handler)
