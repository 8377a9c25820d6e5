"""Whether what a source brought is what it should be: a page to log in at is no table."""

import codecs
import tarfile
from pathlib import Path
from typing import IO

from rnnpipe.errors import SourceError
from rnnpipe.storage.addresses import TABLE_SUFFIXES
from rnnpipe.storage.csv_format import CsvFormat, open_table, utf16_without_mark
from rnnpipe.storage.packing import BZIP2, GZIP, XZ, open_unpacked
from rnnpipe.storage.reading import reading
from rnnpipe.storage.tables import MAX_HEADER_BYTES, kind_of, require_table

_FOREIGN = {
    GZIP: "a gzip file",
    BZIP2: "a bzip2 file",
    XZ: "an xz file",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"PK\x03\x04": "a zip file or a spreadsheet",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet",
    b"%PDF": "a PDF",
    b"PAR1": "a parquet file",
    b"SQLite": "a database",
}


def require_content(file: Path, origin: str, any_quotes: bool = False) -> None:
    """Refuse a file that is empty, a web page, or of another kind than its name says.

    Args:
        file: a table by its suffix, else an archive: a tar file, plain or compressed.
        origin: where it came from, for the message.
        any_quotes: whether a CSV may write quotes in any of the ways that parameters name; what
            was transferred and has a quote left open may have been cut.

    Raises:
        SourceError: it is not what it should be.
    """
    is_table = file.name.lower().endswith(TABLE_SUFFIXES)
    expected = "a table" if is_table else "a tar archive"
    with reading(file):
        start = _start(open_table(file), MAX_HEADER_BYTES) if is_table else _start(file.open("rb"))
        if found := _named(start, kind_of(file) if is_table else ""):
            raise SourceError(
                f"{origin} brings {found}, expected {expected}{f' ({file.suffix})' if is_table else ''}: check download.source; what was here"
                " before stays"
            )
    try:
        if is_table:
            # How the letters are written is not known here: each byte is a sign, as if of latin-1.
            encoding = _utf(start) or "latin-1"
            require_table(file, any_quotes, CsvFormat(encoding=encoding))
        else:
            _require_archive(file)
    except SourceError as error:
        fault = str(error).replace(str(file), file.name)
        raise SourceError(
            f"{origin} brings no {expected.removeprefix('a ')} that can be used: {fault}; what was here"
            " before stays"
        ) from None


def _named(start: bytes, kind: str) -> str:
    """What a file is by its first bytes, where that is nothing good; else nothing."""
    if not start:
        return "nothing, 0 bytes"
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"<"):
        return "a web page"
    if text.startswith(b"[" if kind == ".jsonl" else (b"{", b"[")):
        return "JSON"
    if kind in (".csv", ".jsonl"):
        return next((kind for magic, kind in _FOREIGN.items() if start.startswith(magic)), "")
    return ""


def _utf(start: bytes) -> str | None:
    """The encoding of a table that begins so, where its bytes tell."""
    if name := utf16_without_mark(start):
        return name
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return None
    return "utf-8"


def _require_archive(file: Path) -> None:
    with reading(file, "has no header of a tar archive where one was expected: {reason}"):
        tarfile.TarInfo.frombuf(_start(open_unpacked(file)), tarfile.ENCODING, "surrogateescape")


def _start(file: IO[bytes], size: int = tarfile.BLOCKSIZE) -> bytes:
    with file:
        return file.read(size)
