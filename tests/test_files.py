"""A file is whole or not there."""

from __future__ import annotations

import os

import pytest

from sparse_ir.files import whole_file, whole_folder


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


@pytest.mark.parametrize("whole", [whole_file, whole_folder])
def test_the_new_name_is_on_the_disk(tmp_path, monkeypatch, whole):
    """The folder is synced, once the name is in it."""
    synced, sync = [], os.fsync

    def recorded(descriptor):
        if os.path.samestat(os.fstat(descriptor), os.stat(tmp_path)):
            synced.append(sorted(os.listdir(tmp_path)))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", recorded)
    with whole(tmp_path / "x") as beside:
        beside.write_text("new") if whole is whole_file else beside.mkdir()
    assert synced == [["x"]]
