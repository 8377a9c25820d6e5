"""Any bytes under a table's name: a table, or a sentence, and all else as it was."""

import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from fuzzing import damaged, ends_well, fuzz
from hypothesis import strategies as st

from rnnpipe.problems.classification.own_table import prepare_table
from rnnpipe.problems.classification.params import Prepare
from rnnpipe.problems.classification.predict_input import read_texts
from rnnpipe.series.prepared import load_panel, write_panel
from rnnpipe.series.reading import read_series
from rnnpipe.storage.download import fetch


def prepared(table: Path) -> None:
    prepare_table(table, table.parent / "out/reviews.parquet", Prepare())


def series(table: Path) -> None:
    write_panel(read_series(table, "date"), table.parent / "out/series.parquet")


def fetched(table: Path) -> None:
    fetch(str(table), table.parent / "raw", table.parent / "partial")


DOORS: list[Callable[[Path], object]] = [
    prepared,
    series,
    fetched,
    load_panel,
    lambda table: read_texts(str(table), "text"),
]

ROWS = 40
TEXTS = [f"a film, {row}" if row % 3 else f'"quoted"\n{row}é' for row in range(ROWS)]
LABELS = ["pos" if row % 2 else "neg" for row in range(ROWS)]
DATES = [f"2016-07-{row // 24 + 1:02} {row % 24:02}:00:00" for row in range(ROWS)]
TIMES = pa.array(DATES).cast(pa.timestamp("s"))
COLUMNS: list[dict[str, object]] = [
    {"text": TEXTS, "label": LABELS},
    {"text": pa.array(TEXTS).dictionary_encode(), "label": pa.array(LABELS, pa.binary())},
    {"text": pa.array(TEXTS, pa.string_view()), "label": [row % 2 for row in range(ROWS)]},
    {"date": TIMES, "load": [row / 7 for row in range(ROWS)], "oil": range(ROWS)},
    {"date": DATES, "load": [str(row) for row in range(ROWS)]},
    {"date": TIMES.cast(pa.date32()), "load": pa.array([1.5] * ROWS, pa.float16())},
    {"date": TIMES.cast(pa.timestamp("ns", "UTC")), "load": [None, *range(1, ROWS)]},
    {"text": [["a"]] * ROWS, "label": [{"a": 1}] * ROWS},
]


def parquet(columns: dict[str, object], **options: object) -> bytes:
    packed = io.BytesIO()
    pq.write_table(pa.table({name: pa.array(x) for name, x in columns.items()}), packed, **options)
    return packed.getvalue()


PARQUETS = [
    parquet(columns, **options)
    for columns in COLUMNS
    for options in (
        {},
        {"compression": "zstd", "row_group_size": 7, "data_page_version": "2.0"},
        {"compression": "none", "use_dictionary": False, "write_page_checksum": True},
    )
] + [
    parquet(
        {"text": TEXTS, "label": LABELS},
        use_dictionary=False,
        column_encoding={"text": kind, "label": kind},
    )
    for kind in ("DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY")
]


def csv(*columns: list[str]) -> bytes:
    rows = zip(*columns, strict=True)
    lines = [",".join(f'"{cell}"' if "," in cell else cell for cell in row) for row in rows]
    return "\n".join(lines).encode() + b"\n"


CSVS = [
    csv(["text", *[text.replace('"', '""') + "," for text in TEXTS]], ["label", *LABELS]),
    csv(["date", *DATES], ["load", *[f"{row}.5" for row in range(ROWS)]]),
    csv(["text", *["same"] * ROWS], ["label", *LABELS]).replace(b"\n", b"\r\n"),
    b"\xef\xbb\xbf" + csv(["label", *LABELS], ["text", *DATES]),
]
CELL = st.sampled_from(
    ['"', '""', '"a\n"', ",", "\0", "9" * 5000, "1e400", "nan", "-0", "2016-02-30", "é\r", "", " "]
)
WRITTEN = st.lists(st.lists(CELL | st.text(max_size=8), max_size=4), max_size=8).map(
    lambda rows: "\n".join(["text,label", *map(",".join, rows)]).encode(errors="surrogatepass")
)


TABLES = st.tuples(st.just("t.parquet"), damaged(PARQUETS)) | st.tuples(
    st.just("t.csv"), damaged(CSVS) | WRITTEN | st.binary()
)


@fuzz(TABLES, st.sampled_from(DOORS))
def test_any_table_ends_well(table: tuple[str, bytes], door: Callable[[Path], object]) -> None:
    name, content = table
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        for made in ("raw", "out"):
            (Path(folder) / made).mkdir()
            (Path(folder) / made / "before").write_text("what was there before")
        ends_well(lambda: door(path), Path(folder))
