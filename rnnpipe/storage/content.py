"""Whether what a source brought is what it should be: a page to log in at is no table."""

import tarfile
from contextlib import suppress
from pathlib import Path
from typing import IO

from rnnpipe.errors import SourceError
from rnnpipe.storage.addresses import TABLE_SUFFIXES
from rnnpipe.storage.csv_format import PLAIN, CsvFormat, open_table
from rnnpipe.storage.packing import BZIP2, GZIP, XZ, open_unpacked
from rnnpipe.storage.reading import reading
from rnnpipe.storage.tables import column_names, kind_of, require_table

# Those that a parameter may name: every byte a sign, and UTF-16 without its mark.
_OTHER_ENCODINGS = ("latin-1", "utf-16-le", "utf-16-be")

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
    packed = file.suffix.lower() == ".gz"
    expected = "a table" if is_table else "a tar archive"
    with reading(file):
        start = _start(open_table(file) if is_table and packed else file.open("rb"))
        if found := _named(start, kind_of(file) if is_table else ""):
            raise SourceError(
                f"{origin} brings {found}, expected {expected}{f' ({file.suffix})' if is_table else ''}: check download.source; what was here"
                " before stays"
            )
    try:
        if is_table:
            require_table(file, any_quotes, _some_encoding(file))
        else:
            _require_archive(file)
    except SourceError as error:
        fault = str(error).replace(str(file), file.name)
        raise SourceError(
            f"{origin} brings no {expected.removeprefix('a ')} that can be used: {fault}; what was here"
            " before stays"
        ) from None


def _some_encoding(file: Path) -> CsvFormat:
    """An encoding in which a table's header reads: what it is in truth, a later stage is told."""
    if kind_of(file) == ".csv":
        for name in (PLAIN.encoding, *_OTHER_ENCODINGS):
            with suppress(SourceError):
                # Read in the wrong half of UTF-16 the separators are none.
                if len(column_names(file, found := CsvFormat(encoding=name))) > 1:
                    return found
    return PLAIN


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


def _require_archive(file: Path) -> None:
    with reading(file, "has no header of a tar archive where one was expected: {reason}"):
        tarfile.TarInfo.frombuf(_start(open_unpacked(file)), tarfile.ENCODING, "surrogateescape")


def _start(file: IO[bytes]) -> bytes:
    with file:
        return file.read(tarfile.BLOCKSIZE)
