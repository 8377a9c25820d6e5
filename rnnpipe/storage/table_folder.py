"""A source that is a folder, made one table: parts of a table, or texts by class.

Parts lie side by side, of one kind and with one header: ``part-0.parquet``, ``part-1.parquet``. Texts
lie as ``CLASS/NAME.txt`` or ``SPLIT/CLASS/NAME.txt``, UTF-8. Both come in the order of their names,
sign by sign. What begins with a dot or an underscore (``_SUCCESS``) is passed over, as Arrow and Spark
have it; links and whatever else does not belong are refused by name.
"""

import codecs
import os
import re
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from rnnpipe.errors import SourceError, quoted, shown
from rnnpipe.storage.addresses import TABLE_SUFFIXES
from rnnpipe.storage.csv_format import PLAIN, open_table, require_quotes_in_place, resolved
from rnnpipe.storage.reading import reading
from rnnpipe.storage.table_checks import MAX_ROWS, decoded_kind
from rnnpipe.storage.tables import (
    MAX_HEADER_BYTES,
    column_names,
    kind_of,
    read_batches,
    readable_columns,
)

MAX_TEXT_BYTES = 64 << 20  # as long as a row of a CSV may be
_DEEPEST = 3  # split, class, name
_BATCH_ROWS = 5_000
_BATCH_BYTES = 64 << 20
_CHUNK = 1 << 20
_EXPECTED = (
    "expected parts of a table side by side, all of one kind (.parquet, .csv, .jsonl, …), or a folder"
    " of .txt files for each class, or folders of these for train and test: move it elsewhere"
)
# How the parts of a published data set are called: test-00000-of-00002.parquet.
_SPLIT = re.compile(
    "(train|training|test|testing|dev|val|valid|validation|unsup|unlabell?ed|unsupervised)(?![a-z])"
)
_UNLABELLED = ("unsup", "unlabelled", "unlabeled")


def pack_folder(folder: Path, into: Path, name: str) -> Path:
    """Write what lies in a folder as one table.

    Args:
        folder: the source.
        into: where the table comes to lie.
        name: of the table, to which its suffix is added.

    Returns:
        The table: of parts, with their columns and of their kind, unpacked; of texts a parquet file
        with the columns ``file``, ``text``, ``label`` and, if there are splits, ``split``; so do parquet
        parts that are called by splits, as ``train-00000-of-00001.parquet``.

    Raises:
        SourceError: something in it is no part of a table and no text of a class.
    """
    files = sorted(_files(folder, PurePosixPath(), 1), key=str)
    if not files:
        raise SourceError(f"{shown(folder)} holds no files; {_EXPECTED}")
    texts = [file for file in files if file.suffix.lower() == ".txt" and len(file.parts) > 1]
    parts = [file for file in files if len(file.parts) == 1 and _suffix(file)]
    if texts and len(texts) >= len(parts):
        depths = {len(file.parts) for file in texts}
        odd = [file for file in files if file not in set(texts)] if len(texts) < len(files) else []
        if not odd and len(depths) > 1:
            odd = [file for file in texts if len(file.parts) != len(texts[0].parts)]
    else:
        kinds = [_suffix(file).removesuffix(".gz") for file in parts]
        odd = [file for file in files if file not in set(parts)]
        odd += [file for file, kind in zip(parts, kinds, strict=True) if kind != kinds[0]]
    if odd:
        raise SourceError(
            f"{shown(folder)}: found {_listed(odd)} where it does not belong; {_EXPECTED}"
        )
    if texts:
        return _pack_texts(folder, texts, into / f"{name}.parquet")
    splits = _splits(parts)
    if splits and kinds[0] != ".parquet":
        raise SourceError(
            f"{shown(folder)}: found {_listed(parts)}, whose rows would be mixed in one table; expected"
            " parts that do not differ by train and test: write these words into a column split of"
            " each, and name the files otherwise"
        )
    target = into / f"{name}{kinds[0]}"
    if kinds[0] == ".parquet":
        _pack_parquet(folder, parts, target, splits)
    else:
        _join(folder, parts, target)
    return target


def _files(folder: Path, below: PurePosixPath, depth: int) -> Iterator[PurePosixPath]:
    try:
        entries = sorted(os.scandir(folder / below), key=lambda entry: entry.name)
    except OSError as error:
        raise SourceError(
            f"{shown(folder / below)} cannot be read ({error.strerror}): mend that"
        ) from None
    for entry in entries:
        path = below / entry.name
        if entry.name.startswith((".", "_")):
            continue
        if re.search("[\ud800-\udfff]", entry.name):  # bytes that Python could not decode
            raise SourceError(
                f"{shown(folder)}: the name {quoted(str(path))} is not UTF-8, expected names that are:"
                " rename it, for instance with convmv"
            )
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode) and depth < _DEEPEST:
            yield from _files(folder, path, depth + 1)
        elif stat.S_ISREG(mode):
            yield path
        else:
            kind = "a link" if stat.S_ISLNK(mode) else "a pipe, a device or the like"
            kind = "a folder too deep" if stat.S_ISDIR(mode) else kind
            raise SourceError(f"{shown(folder)}: {quoted(str(path))} is {kind}; {_EXPECTED}")


def _suffix(file: PurePosixPath) -> str:
    found = [suffix for suffix in TABLE_SUFFIXES if file.name.lower().endswith(suffix)]
    return max(found, key=len, default="")


def _listed(files: Sequence[PurePosixPath]) -> str:
    more = f" and {len(files) - 3:,} more" if len(files) > 3 else ""
    return ", ".join(quoted(str(file)) for file in files[:3]) + more


def _pack_texts(folder: Path, files: Sequence[PurePosixPath], target: Path) -> Path:
    has_splits = len(files[0].parts) == _DEEPEST
    classes = {file.parts[-2] for file in files}
    if not has_splits and {"train", "test"} <= {name.lower() for name in classes}:
        raise SourceError(
            f"{shown(folder)} has folders for train and test, but none for the classes; {_EXPECTED}"
        )
    if len(files) > MAX_ROWS:
        raise SourceError(f"{shown(folder)} holds more than {MAX_ROWS:,} texts: take a part")
    kinds = [("file", pa.string()), ("text", pa.large_string()), ("label", pa.string())]
    if has_splits:
        kinds.append(("split", pa.string()))
    schema = pa.schema(kinds)
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        rows: list[tuple[str | None, ...]] = []
        size = 0
        for file in files:
            text = _text(folder / file)
            label: str | None = file.parts[-2]
            split = file.parts[0]
            if label is not None and label.lower() in _UNLABELLED:
                label, split = None, "unlabelled"
            rows.append((str(file), text, label, split)[: len(kinds)])
            size += len(text)
            if len(rows) == _BATCH_ROWS or size > _BATCH_BYTES:
                writer.write_table(_table(rows, schema))
                rows, size = [], 0
        if rows:
            writer.write_table(_table(rows, schema))
    return target


def _table(rows: Sequence[tuple[str | None, ...]], schema: pa.Schema) -> pa.Table:
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, kind) for column, kind in zip(columns, schema.types, strict=True)]
    return pa.table(arrays, schema=schema)


def _text(path: Path) -> str:
    with reading(path), path.open("rb") as file:
        content = file.read(MAX_TEXT_BYTES + 1)
    if len(content) > MAX_TEXT_BYTES:
        raise SourceError(f"{shown(path)} is longer than {MAX_TEXT_BYTES:,} bytes: cut it")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{shown(path)} is not UTF-8 at byte {error.start:,}: convert it, for instance with iconv"
            " -f ISO-8859-1 -t UTF-8"
        ) from None


def _splits(parts: Sequence[PurePosixPath]) -> list[str]:
    """The split that each part's name begins with, if all do and train and test are among them."""
    found = [_SPLIT.match(part.name.lower()) for part in parts]
    words = [word[1] for word in found if word]
    both = {"train", "test"} <= {word.removesuffix("ing") for word in words}
    return words if both and len(words) == len(parts) else []


def _pack_parquet(
    folder: Path, parts: Sequence[PurePosixPath], target: Path, splits: Sequence[str]
) -> None:
    header = column_names(folder / parts[0])
    for part in parts:
        if column_names(folder / part) != header:
            raise _other_header(folder, part, parts[0])
    # What is lists in one part may seem to be nothing in another.
    everywhere = [set(readable_columns(folder / part)) for part in parts]
    names = [name for name in header if all(name in found for found in everywhere)]
    schemas = [_schema(folder / part, names) for part in parts]
    try:
        schema = pa.unify_schemas(schemas)  # a part in which all is empty knows no types
    except pa.ArrowException:
        other = next(p for p, s in zip(parts, schemas, strict=True) if s != schemas[0])
        raise SourceError(
            f"{shown(folder)}: the columns of {quoted(str(other))} are of other kinds than those of"
            f" {quoted(str(parts[0]))}; expected parts of one table: write them anew"
        ) from None
    columns = {name: name for name in schema.names}
    if has_splits := bool(splits) and "split" not in header:
        schema = schema.append(pa.field("split", pa.string()))
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for number, part in enumerate(parts):
            for batch in read_batches(folder / part, columns, advice="", times=True):
                table = pa.table(batch)
                if has_splits:
                    said = pa.repeat(splits[number], len(table))
                    table = table.append_column("split", said)
                writer.write_table(table.cast(schema))


def _schema(part: Path, names: Sequence[str]) -> pa.Schema:
    """Of some columns, as they come from a part."""
    with reading(part):
        kinds = pq.read_schema(part)
    return pa.schema([(name, decoded_kind(kinds.field(name).type)) for name in names])


def _join(folder: Path, parts: Sequence[PurePosixPath], target: Path) -> None:
    """Write parts in text one behind the other, their header once."""
    header = b""
    unlike: PurePosixPath | None = None  # a part whose quotes are not as the standard has them
    with target.open("wb") as joined:
        for number, part in enumerate(parts):
            path = folder / part
            with reading(path), open_table(path) as file:
                first = file.readline(MAX_HEADER_BYTES)
                if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                    raise SourceError(
                        f"{shown(path)} is UTF-16; expected parts in UTF-8: convert it"
                    )
                first = first.removeprefix(codecs.BOM_UTF8)
                if kind_of(path) == ".csv":
                    if re.fullmatch(rb'"?sep=."?\r?\n', first, re.IGNORECASE):
                        first += file.readline(MAX_HEADER_BYTES)
                    if number and first.rstrip(b"\r\n") != header.rstrip(b"\r\n"):
                        raise _other_header(folder, part, parts[0])
                    header = header or first
                    first = b"" if number else first
                joined.write(first)
                shutil.copyfileobj(file, joined, _CHUNK)
            if joined.tell():
                joined.flush()
                with target.open("rb") as written:
                    written.seek(-1, os.SEEK_END)
                    if written.read(1) != b"\n":
                        joined.write(b"\n")
            if kind_of(path) == ".csv" and not _has_quotes_in_place(path, header):
                unlike = unlike or part
    if unlike is not None and _has_quotes_in_place(target, header):
        raise SourceError(
            f"{shown(folder)}: {quoted(str(unlike))} leaves a double quote open that another part closes;"
            " expected parts that each end with a whole row: mend it"
        )


def _has_quotes_in_place(table: Path, header: bytes) -> bool:
    try:
        require_quotes_in_place(table, resolved(PLAIN, table, header.decode("latin-1")))
    except SourceError:
        return False
    return True


def _other_header(folder: Path, part: PurePosixPath, first: PurePosixPath) -> SourceError:
    return SourceError(
        f"{shown(folder)}: {quoted(str(part))} has another header than {quoted(str(first))}; expected"
        " parts of one table: write them anew, or move what belongs to another elsewhere"
    )
