"""Files and folders that no other user of the machine can have changed.

Whoever can write a file that we load as code, or into the folder where it lies, runs commands as us. So
owner and mode are asked of what was opened, not of a name that may lead elsewhere a moment later.
"""

import contextlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

from rnnpipe.errors import RnnpipeError


class NotPrivateError(RnnpipeError):
    """A file or folder is another user's, or others can write it, or it is none."""


def open_own_folder(path: Path) -> int:
    """Open a folder that is this user's alone, made with mode 0700 where it is not there.

    Returns:
        A descriptor of the folder, to open what lies in it, and to be closed.

    Raises:
        NotPrivateError: it is another user's, or others can write it, or it is a link.
        OSError: it cannot be made or opened.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    if path.is_symlink() or not path.is_dir():
        raise NotPrivateError(f"{path} is a link or a file, expected a folder of your own")
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    return _required_own(folder, path, stat.S_ISDIR)


def open_own_file(path: Path, folder: int | None = None) -> int:
    """Open a file that this user alone can write.

    Args:
        path: its place; within ``folder``, its name.
        folder: descriptor of an open folder.

    Returns:
        A descriptor to read from, and to be closed.

    Raises:
        NotPrivateError: it is another user's, or others can write it, or it is no file.
        OSError: it cannot be opened, for instance because it is a link.
    """
    # Not blocking: a pipe that nobody writes into would keep us for ever.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    return _required_own(os.open(path, flags, dir_fd=folder), path, stat.S_ISREG)


def read_own_file(path: Path, most: int) -> bytes:
    """Read a file that this user alone can write, of at most so many bytes.

    Raises:
        NotPrivateError: it is not this user's alone, or larger.
        OSError: it cannot be read.
    """
    with os.fdopen(open_own_file(path), "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise NotPrivateError(f"{path} has more than {most:,} bytes, expected no more")
    return content


def _required_own(descriptor: int, path: Path, is_kind: Callable[[int], bool]) -> int:
    found = os.fstat(descriptor)
    reason = None
    if not is_kind(found.st_mode):
        reason = "is of another kind"
    elif found.st_uid != os.geteuid():
        reason = f"belongs to user {found.st_uid}"
    elif found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        reason = f"can be written by others (mode {stat.S_IMODE(found.st_mode):04o})"
    if reason is None:
        return descriptor
    os.close(descriptor)
    raise NotPrivateError(f"{path} {reason}, expected one that you alone can write")
