"""One family of exceptions, and the exit code that the command line gives to each.

    GivreError                  anything that the user can put right
    +- UsageError          2    arguments that contradict each other or are out of range
    +- ImageError          3    an image that cannot be read or that the codec does not take
    +- BitstreamError      4    a file that cannot be decoded
    |  +- NotGivreError         it does not start with the magic number
    |  +- UnsupportedError      a later version or a feature that this version does not know
    |  +- TruncatedError        bytes are missing
    |  +- CorruptError          a checksum or a field is wrong
    |  +- LimitError            it is larger than the caller allows
    +- OutputError         5    the output exists already, or cannot be written
    +- CollapseError       6    the fit is no better than a constant image
    +- CheckpointError     7    a checkpoint that cannot be used
    +- TargetError         8    a size, a rate or a quality that the fit does not reach
    +- PartialError        9    a file was cut, and what there was of it has been written

Every message is one line that says what is wrong and what would be right.
"""

from __future__ import annotations


class GivreError(Exception):
    """Base class of every error that givre raises on purpose."""

    exit_code = 1


class UsageError(GivreError, ValueError):
    """Arguments are out of range or contradict each other."""

    exit_code = 2


class ImageError(GivreError):
    """The input image cannot be read, or is of a kind that the codec does not take."""

    exit_code = 3


class BitstreamError(GivreError):
    """The bytes are not a file that this version can decode."""

    exit_code = 4


class NotGivreError(BitstreamError):
    """The bytes do not start with the magic number."""


class UnsupportedError(BitstreamError):
    """The file needs a later version or a feature that this version does not have."""


class TruncatedError(BitstreamError):
    """Bytes are missing at the end."""


class CorruptError(BitstreamError):
    """A checksum does not match, or a field holds a value that no encoder writes."""


class LimitError(BitstreamError):
    """The picture is larger than the limit that the caller set."""


class OutputError(GivreError):
    """The output exists and may not be replaced, or cannot be written."""

    exit_code = 5


class CollapseError(GivreError):
    """The fitted image is no better than a constant one, although the rate would allow it."""

    exit_code = 6


class CheckpointError(GivreError):
    """A checkpoint is unreadable or belongs to another image or architecture."""

    exit_code = 7


class TargetError(GivreError):
    """The size, rate or quality asked for is out of reach; the message says what is not."""

    exit_code = 8


class PartialError(GivreError):
    """The file was cut; what there was of it has been written, as was asked for."""

    exit_code = 9
