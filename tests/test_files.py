"""A file is whole or not there."""

from __future__ import annotations

import pytest

from sparse_ir.files import whole_file


def test_whole_or_not_there(tmp_path):
    path = tmp_path / "x.txt"
    with whole_file(path) as beside:
        beside.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    with pytest.raises(KeyboardInterrupt), whole_file(path) as beside:
        beside.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]
