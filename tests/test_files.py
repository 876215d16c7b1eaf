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
def test_all_is_on_the_disk_before_the_name_is_and_then_the_name(tmp_path, monkeypatch, whole):
    synced, sync, replace = [], os.fsync, os.replace

    def recorded(descriptor):
        synced.append(names[os.fstat(descriptor).st_ino])
        sync(descriptor)

    def renamed(*paths):
        synced.append("renamed")
        replace(*paths)

    with whole(tmp_path / "x") as beside:
        if whole is whole_file:
            beside.write_text("new")
        else:
            (beside / "inner").mkdir(parents=True)
            (beside / "inner" / "file").write_text("new")
        written = [beside, *beside.rglob("*")]
        names = {path.stat().st_ino: path.name for path in [tmp_path, *written]}
        monkeypatch.setattr(os, "fsync", recorded)
        monkeypatch.setattr(os, "replace", renamed)
    assert sorted(synced[:-2]) == sorted(path.name for path in written)
    assert synced[-2:] == ["renamed", tmp_path.name]
