"""Lines with their places."""

from __future__ import annotations

import gzip
import zlib

import pytest

from sparse_ir.errors import DataFormatError
from sparse_ir.lines import error_at, read_lines


def test_lines_and_places(tmp_path):
    text = "\ufeffone\r\n\nthree"
    plain, packed = tmp_path / "a", tmp_path / "a.gz"
    plain.write_bytes(text.encode())
    packed.write_bytes(gzip.compress(text.encode()))
    for path in (plain, packed):
        name = str(path)
        expected = [((name, 1), "one"), ((name, 2), ""), ((name, 3), "three")]
        assert list(read_lines(path)) == expected


def test_what_is_no_text(tmp_path):
    (tmp_path / "a").write_bytes(b"fine\nb\xfcrger\n")
    with pytest.raises(DataFormatError, match=r"a:2: byte 0xfc at column 2 came; want UTF-8"):
        list(read_lines(tmp_path / "a"))
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"long" * 99)[:-9])
    with pytest.raises(DataFormatError, match="not a whole gzip file"):
        list(read_lines(tmp_path / "a.gz"))
    stream = zlib.compressobj(wbits=31)
    whole = stream.compress(b"fine\n") + stream.flush(zlib.Z_SYNC_FLUSH)
    (tmp_path / "b.gz").write_bytes(whole + b"\x07" * 64)  # a block of no kind that there is
    with pytest.raises(DataFormatError, match="b.gz: not a whole gzip file"):
        list(read_lines(tmp_path / "b.gz"))
    assert str(error_at(("f", 3), "x", "y")) == "f:3: x came; want y"
