"""A file or a folder is whole or not there, whenever a crash comes."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from sparse_ir.files import standing_folder, whole_file, whole_folder


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


def write(path, content):
    with whole_folder(path) as beside:
        beside.mkdir()
        (beside / "file").write_text(content)


def content(path):
    return (standing_folder(path) / "file").read_text()


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_crash_while_a_folder_is_replaced_leaves_the_old_or_the_new(tmp_path, renames):
    """Its process dies before it renames once more, or before it removes what it put aside."""
    write(tmp_path / "x", "old")
    pid = os.fork()
    if not pid:
        left, rename, remove = [renames], os.replace, shutil.rmtree

        def renamed(*paths):
            if not left[0]:
                os._exit(7)
            left[0] -= 1
            rename(*paths)

        def removed(path, **options):
            if not left[0] and path.is_dir():
                os._exit(7)
            remove(path, **options)

        os.replace, shutil.rmtree = renamed, removed
        with suppress(BaseException):
            write(tmp_path / "x", "new")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert content(tmp_path / "x") == ("new" if renames == 2 else "old")
    write(tmp_path / "x", "newest")
    assert content(tmp_path / "x") == "newest"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_an_error_while_a_folder_is_replaced_puts_the_old_one_back(tmp_path):
    write(tmp_path / "x", "old")
    (tmp_path / "x").rename(tmp_path / "x.replaced")  # as a crash left it
    with pytest.raises(KeyboardInterrupt), whole_folder(tmp_path / "x") as beside:
        beside.mkdir()
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert content(tmp_path / "x") == "old"
    assert standing_folder(tmp_path / "y") == tmp_path / "y"


def test_links_and_pipes_stay_what_they_are(tmp_path):
    (tmp_path / "old").write_text("before")
    (tmp_path / "latest").symlink_to("old")
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor() as pool:
        read = pool.submit((tmp_path / "pipe").read_text)
        for name in ("latest", "pipe"):
            with whole_file(tmp_path / name) as beside:
                beside.write_text("after")
        assert read.result(60) == "after"
    assert (tmp_path / "latest").is_symlink()
    assert (tmp_path / "old").read_text() == "after"
    assert (tmp_path / "pipe").is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", "old", "pipe"]


def test_a_link_to_a_folder_stays_one(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "latest").symlink_to("old")
    for text in ("first", "second"):
        with whole_folder(tmp_path / "latest") as beside:
            beside.mkdir()
            (beside / "x").write_text(text)
        assert (tmp_path / "old" / "x").read_text() == text
    assert (tmp_path / "latest").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", "old"]
