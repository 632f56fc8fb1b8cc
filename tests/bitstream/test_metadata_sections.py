from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from givre.bitstream.metadata import Metadata
from givre.bitstream.metadata_sections import (
    CICP,
    EXIF,
    ICC,
    SECTION_NAMES,
    XMP,
    metadata_of,
    metadata_sections,
)
from givre.bitstream.sections import MAX_CONTENT, Section, read_sections, write_sections
from givre.bitstream.varint import ByteReader
from givre.errors import CorruptError, UsageError

BYTE = st.integers(0, 255)
METADATA = st.builds(
    Metadata,
    icc=st.binary(max_size=50),
    exif=st.binary(max_size=50),
    xmp=st.binary(max_size=50),
    cicp=st.none() | st.tuples(BYTE, BYTE, BYTE, BYTE),
)
FULL = Metadata(icc=b"profile", exif=b"II*\0", xmp=b"<x:xmpmeta/>", cicp=(9, 16, 0, 1))


def test_golden_kinds() -> None:
    """Numbers of kinds are of the format."""
    assert (ICC, EXIF, XMP, CICP) == (1, 2, 3, 4)
    assert SECTION_NAMES == {1: "icc", 2: "exif", 3: "xmp", 4: "cicp"}
    assert metadata_sections(FULL) == (
        Section(1, b"profile"),
        Section(2, b"II*\0"),
        Section(3, b"<x:xmpmeta/>"),
        Section(4, b"\x09\x10\x00\x01"),
    )


@given(METADATA)
def test_metadata_come_back(metadata: Metadata) -> None:
    sections = metadata_sections(metadata)
    assert all(section.content for section in sections)
    assert metadata_of(sections) == metadata
    assert metadata_of(sections[::-1]) == metadata
    if sections:
        assert metadata_of(read_sections(ByteReader(write_sections(sections)))) == metadata


def test_no_metadata_are_no_sections() -> None:
    assert metadata_sections(Metadata()) == ()
    assert metadata_of(()) == Metadata()


def test_sections_of_later_versions_are_skipped() -> None:
    others = (Section(0, b""), Section(5, b"x"), Section(5, b"y"), Section(127, b"z"))
    assert metadata_of(others) == Metadata()
    assert metadata_of((*others, *metadata_sections(FULL))) == FULL


@pytest.mark.parametrize("kind", SECTION_NAMES)
def test_a_kind_twice_is_corrupt(kind: int) -> None:
    twice = (*metadata_sections(FULL), Section(7, b""), metadata_sections(FULL)[kind - 1])
    name = SECTION_NAMES[kind]
    with pytest.raises(CorruptError, match=f"^the file has two sections for {name}, it must have"):
        metadata_of(twice)


@pytest.mark.parametrize("kind", SECTION_NAMES)
def test_an_empty_kind_is_corrupt(kind: int) -> None:
    name = SECTION_NAMES[kind]
    with pytest.raises(CorruptError, match=f"^the section for {name} is empty, it must be left"):
        metadata_of([Section(kind, b"")])


@pytest.mark.parametrize("length", [1, 3, 5, 100])
def test_four_bytes_are_code_points_and_no_other_number(length: int) -> None:
    message = f"^the section for cicp has {length} bytes, it must have 4$"
    with pytest.raises(CorruptError, match=message):
        metadata_of([Section(CICP, bytes(length))])
    assert metadata_of([Section(CICP, bytes(4))]).cicp == (0, 0, 0, 0)


@pytest.mark.parametrize("field", ["icc", "exif", "xmp"])
def test_a_field_that_is_too_large_cannot_be_written(field: str) -> None:
    metadata = Metadata(**{field: bytes(MAX_CONTENT + 1)})
    with pytest.raises(UsageError, match="a section has 16777217 bytes"):
        metadata_sections(metadata)


@pytest.mark.parametrize("cicp", [(256, 0, 0, 0), (0, -1, 0, 0), (1, 1, 1), (1,) * 5, ()])
def test_code_points_that_are_not_four_bytes(cicp: tuple[int, int, int, int]) -> None:
    with pytest.raises(
        UsageError, match=r"^cicp is \([^\n]*, it must be four code points of 0 to 255$"
    ):
        metadata_sections(Metadata(cicp=cicp))
