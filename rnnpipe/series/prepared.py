"""The table of series that ``prepare`` writes and the stages after it read."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from rnnpipe.errors import SourceError
from rnnpipe.series.form import Form
from rnnpipe.series.panel import Panel
from rnnpipe.series.reading import Choices, read_panel
from rnnpipe.series.table import Series
from rnnpipe.storage.files import atomic_file
from rnnpipe.storage.reading import reading
from rnnpipe.storage.tables import column_names, kind_of

_AGAIN = "run `dvc repro pipelines/forecasting/dvc.yaml`"


def write_panel(panel: Panel | Series, path: Path) -> None:
    """Write the prepared table: the time first, then what tells series apart, then the columns.

    Its metadata hold ``content_digest``, the same for the same times and numbers however the
    source wrote them; ``form``, where that is not the standard one; and ``series_column``, where there
    are many series.
    """
    if isinstance(panel, Series):
        panel = Panel.of(panel)
    times = np.concatenate([part.times for part in panel.parts])
    values = np.concatenate([part.values for part in panel.parts])
    arrays, names = [pa.array(times, pa.timestamp("us"))], [panel.time_name]
    metadata = {"content_digest": content_digest(panel)}
    if panel.id_name:
        rows = np.repeat(np.arange(len(panel.ids)), [len(part) for part in panel.parts])
        ids = pa.array(panel.ids, pa.string())
        arrays.append(
            pa.DictionaryArray.from_arrays(pa.array(rows, pa.int32()), ids).cast(pa.string())
        )
        names.append(panel.id_name)
        metadata["series_column"] = panel.id_name
    arrays += map(pa.array, values.T.copy())
    if kept := panel.form.kept():
        metadata["form"] = json.dumps(kept, sort_keys=True)
    table = pa.table(arrays, names=[*names, *panel.names])
    with atomic_file(path) as partial:
        pq.write_table(table.replace_schema_metadata(metadata), partial)


def load_panel(path: Path) -> Panel:
    """Read the table that :func:`write_panel` wrote.

    Raises:
        SourceError: the file is missing or no such table.
    """
    names = column_names(path)
    if not names:
        raise SourceError(f"{path} has no columns: {_AGAIN}")
    metadata = metadata_of(path)
    id_name = series_column_in(metadata)
    targets = names[2:] if id_name else names[1:]
    panel = read_panel(path, names[0], choices=Choices(targets, series_column=id_name))
    return panel.with_form(form_in(metadata, path))


def metadata_of(path: Path) -> dict[bytes, bytes]:
    """Return what a prepared table says of itself."""
    with reading(path):
        return pq.read_schema(path).metadata or {} if kind_of(path) == ".parquet" else {}


def series_column_in(metadata: dict[bytes, bytes]) -> str:
    """Return the name of the column that tells series apart; empty where there is one alone."""
    return metadata.get(b"series_column", b"").decode()


def form_in(metadata: dict[bytes, bytes], path: Path) -> Form:
    """Return the form that stands in the metadata of a prepared table.

    Raises:
        SourceError: it makes no sense.
    """
    try:
        return Form.model_validate_json(metadata.get(b"form", b"{}"))
    except ValidationError:
        raise SourceError(
            f"{path} says nothing sensible of how its times are written: {_AGAIN}"
        ) from None


def content_digest(panel: Panel | Series) -> str:
    """SHA-256 over names, times and numbers of all series, in hex."""
    if isinstance(panel, Series):
        panel = Panel.of(panel)
    first = panel.parts[0]
    digest = hashlib.sha256("\0".join([first.time_name, *first.names]).encode())
    if panel.id_name:
        digest.update("\0".join(["", panel.id_name, *panel.ids]).encode())
    for part in panel.parts:
        _digest_one(digest, part)
    return digest.hexdigest()


def _digest_one(digest: "hashlib._Hash", series: Series) -> None:
    digest.update(np.ascontiguousarray(series.times.astype("<M8[us]")).tobytes())
    digest.update(np.ascontiguousarray(series.values.astype("<f8")).tobytes())
