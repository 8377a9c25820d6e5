"""Packed files, opened by what their first bytes say, and within a bounded memory."""

import bz2
import gzip
import io
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

# What `xz -9` needs is 65 MiB; a header may ask for 4 GiB.
MAX_XZ_MEMORY_BYTES = 512 << 20
GZIP, BZIP2, XZ = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0"

_PIECE_BYTES = 1 << 16


def open_unpacked(path: Path) -> IO[bytes]:
    """Open a file that may be packed with gzip, bzip2 or xz, whatever its suffix."""
    file = path.open("rb")
    start = file.read(len(XZ))
    file.seek(0)
    if start.startswith(XZ):
        return io.BufferedReader(_Xz(file))
    file.close()
    opener: Callable[..., Any] = open
    for magic, known in ((GZIP, gzip.open), (BZIP2, bz2.open)):
        if start.startswith(magic):
            opener = known
    unpacked: IO[bytes] = opener(path, "rb")
    return unpacked


class _Xz(io.RawIOBase):
    """What an xz file unpacks to; :func:`lzma.open` knows no bound on its memory."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._unpacker = self._new()

    @staticmethod
    def _new() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, MAX_XZ_MEMORY_BYTES)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            packed = b""
            if self._unpacker.eof:  # of one stream; another may follow
                packed = self._unpacker.unused_data or self._file.read(_PIECE_BYTES)
                if not packed:
                    return 0
                self._unpacker = self._new()
            elif self._unpacker.needs_input:
                packed = self._file.read(_PIECE_BYTES)
                if not packed:
                    raise EOFError("it ended before the end of the stream was reached")
            if unpacked := self._unpacker.decompress(packed, len(buffer)):
                buffer[: len(unpacked)] = unpacked
                return len(unpacked)

    def close(self) -> None:
        self._file.close()
        super().close()
