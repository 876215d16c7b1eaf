"""Files and folders that are whole or not there."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Gives a path beside ``path`` to write to; it is renamed on success, removed on failure.

    Afterwards no power cut makes the folder forget the new name, or the file its content. A
    symbolic link stays one, and what is no file, as a pipe or ``/dev/null``, is written to itself.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        yield path
        return
    path = path.resolve()
    beside = path.with_name(path.name + ".tmp")
    try:
        yield beside
        _sync(beside)
        os.replace(beside, path)
        sync_folder(path.parent)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """As ``whole_file``, for a folder; what a crash left beside goes.

    A full folder cannot be renamed over: it is put aside first. If a crash comes right then, that
    is where ``standing_folder`` finds it.
    """
    path = path.resolve()
    beside, aside = path.with_name(path.name + ".tmp"), _aside(path)
    shutil.rmtree(beside, ignore_errors=True)
    try:
        yield beside
        for written in (*beside.rglob("*"), beside):
            _sync(written)
        if path.is_dir():
            shutil.rmtree(aside, ignore_errors=True)
            os.replace(path, aside)
        os.replace(beside, path)
        sync_folder(path.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        if aside.is_dir() and not path.exists():
            os.replace(aside, path)
        shutil.rmtree(aside, ignore_errors=True)


def standing_folder(path: Path) -> Path:
    """``path``, or where its content is since a crash came while it was replaced."""
    return _aside(path) if _aside(path).is_dir() and not path.exists() else path


def folder_digest(folder: Path) -> str:
    """Of the names and bytes of all files in the folder, as hexadecimal."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder)}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def sync_folder(folder: Path) -> None:
    """The names in the folder are on the disk: what was renamed, made or removed in it."""
    _sync(folder)


def _aside(path: Path) -> Path:
    return path.with_name(path.name + ".replaced")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
