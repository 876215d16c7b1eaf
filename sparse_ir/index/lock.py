"""One writer at a time: a lock that the kernel lets go when its process dies, however it dies."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from sparse_ir.errors import IndexLockedError

FILE_NAME = "writer.lock"


class WriterLock:
    """Held from its making until ``release``, ``remove`` or the end of the process.

    Raises:
        IndexLockedError: another writer holds it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = os.open(folder / FILE_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise IndexLockedError(
                f"another writer has {folder} open; wait until it is done, or close it"
            ) from None

    def release(self) -> None:
        """Another writer may open the index."""
        os.close(self._file)

    def remove(self) -> None:
        """As ``release``; the lock's file is gone, and the folder too if nothing else is in it."""
        (self._folder / FILE_NAME).unlink(missing_ok=True)
        with suppress(OSError):
            self._folder.rmdir()
        self.release()
