"""What a table or folder of texts holds, and the parameters that read it."""

import os
import shlex
import tempfile
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from rnnpipe.config.rewrite import Change, Survey, default_of, defaults_again
from rnnpipe.errors import SourceError, quoted, shown
from rnnpipe.pipeline.outputs import require_outside
from rnnpipe.problems.classification.columns import (
    Column,
    called_split,
    columns_of,
    group_columns,
    id_column,
    label_column,
    require_classes,
    split_column,
    text_columns,
    without_names,
)
from rnnpipe.problems.classification.labels import label_key, labels_of, plain_value
from rnnpipe.problems.classification.own_table import listed_rows, split_of
from rnnpipe.problems.classification.params import ClassificationParams
from rnnpipe.problems.classification.survey_wording import (
    few,
    told_classes,
    told_labels,
    told_scripts,
)
from rnnpipe.storage.addresses import is_http, table_suffix
from rnnpipe.storage.csv_flags import csv_flags
from rnnpipe.storage.csv_format import CsvFormat, open_table, resolved
from rnnpipe.storage.guess import Writing, writing_of
from rnnpipe.storage.paths import path_in_project
from rnnpipe.storage.reading import reading
from rnnpipe.storage.table_folder import pack_folder
from rnnpipe.storage.tables import column_names, kind_of, read_batches
from rnnpipe.text.word_rules import CURRENT, separated

IMDB = "data/imdb.json"
# What IMDB's size and balance ask for, and params.yaml says for it: no other data want it. Where it
# is the default there is nothing to change.
OF_IMDB: Mapping[str, Any] = {
    "validate.min_labelled": 500,
    "validate.min_class_share": 0.4,
    "validate.max_duplicate_share": 0.1,
    "sequences.vocabulary_size": 30000,
    "sequences.min_count": 2,
    "baseline.min_documents": 3,
    "baseline.inverse_regularization": 30.0,
    "train.epochs": 2,
    "train.patience": 2,
    "train.batch_size": 64,
    "train.learning_rate": 0.002,
    "train.sequence_length": 400,
    "train.truncation_side": "left",
    "register.min_validation_accuracy": 0.85,
}
_TEXTS_OF_A_BATCH = 500  # whose letters are counted
_FEWEST_GROUPS = 10  # of fewer no fifth can be taken


@dataclass
class _Facts:
    """What the texts and labels are, row by row."""

    rows: int = 0
    empty: list[int] = field(default_factory=list)
    unlabelled: int = 0
    without_label: int = 0  # though their split asks for one
    splits: Counter[str] = field(default_factory=Counter)
    characters: Counter[str] = field(default_factory=Counter)
    texts: Any = field(default_factory=lambda: array("q"))
    """Hashes of the texts as they stand."""
    plain: Any = field(default_factory=lambda: array("q"))
    """Hashes of their words, in small letters."""

    def repeated(self) -> tuple[int, int]:
        """Texts that stand before in these signs; and those that do but for case and marks."""
        alike = [
            len(hashes) - len(np.unique(np.frombuffer(hashes, np.int64))) if hashes else 0
            for hashes in (self.texts, self.plain)
        ]
        return alike[0], alike[1] - alike[0]


def survey(source: str, values: Mapping[str, Any], options: Any) -> Survey:
    """Look at a table, or at a folder of tables or texts.

    Args:
        source: its path, from the project's folder.
        values: of the parameter file as it stands.
        options: what a person says: ``text_column`` and the like, ``quoting``, ``escape``,
            ``encoding``; each None where it is to be found out.

    Raises:
        SourceError: it cannot be read, holds no texts with labels, or has several readings.
    """
    if is_http(source):
        raise SourceError("found an address, expected a file or folder here: download it first")
    require_outside(Path(source))
    with _as_table(Path(source)) as table:
        try:
            return _survey(source, table, values, options)
        except SourceError as error:
            raise SourceError(str(error).replace(str(table), shown(source))) from None


@contextmanager
def _as_table(source: Path) -> Iterator[Path]:
    if not os.path.isdir(source):  # noqa: PTH112 - says no of what may not be looked at
        with reading(source, missing="name a file or a folder that is there"):
            table_suffix(str(source))
        yield source
        return
    with tempfile.TemporaryDirectory() as folder:
        yield pack_folder(source, Path(folder), "reviews")


def _survey(source: str, table: Path, values: Mapping[str, Any], options: Any) -> Survey:
    writing = writing_of(table, options.quoting, options.escape, options.encoding)
    csv_format = writing.csv_format
    columns = columns_of(table, csv_format)
    try:
        chosen, others = _roles(table, columns, csv_format, options)
    except SourceError as error:
        unread = [
            n for n in dict.fromkeys(column_names(table, csv_format)) if n and n not in columns
        ]
        if not unread or options.text_column:
            raise
        raise SourceError(
            f"{error}. Not read: {few(map(quoted, unread))}, which are lists or structures, or share a"
            " name with another"
        ) from None
    label = columns[chosen["label"] or ""]
    classes = require_classes(table, label)
    facts = _facts(table, {k: v for k, v in chosen.items() if v is not None}, csv_format)
    if facts.without_label:
        raise SourceError(
            f"{shown(table)}: {facts.without_label:,} rows of train, validation or test have no label in"
            f" {quoted(label.name)}; expected one, or unlabelled in {quoted(chosen['split'])}; or leave"
            " that column out: --split-column -"
        )
    told = told_classes(classes)
    why = {
        "text": f"{columns[chosen['text'] or ''].mean_characters:,.0f} characters on average",
        "label": f"{len(classes)} classes: {told}",
        "split": (
            ", ".join(f"{count:,} {split}" for split, count in facts.splits.most_common())
            if chosen["split"]
            else "no column says train and test: one row in five becomes test, always the same"
        ),
        "group": _told_group(columns, chosen["group"]),
    }
    changes = tuple(_changes(source, table, chosen, writing, why, values, classes))
    found = _found(source, table, columns, chosen, others, writing, facts, why, values, classes)
    return Survey(
        (*found, *told_labels(classes, values, changes)),
        changes,
        _then(source, chosen["text"] or "", csv_format, values),
    )


def _roles(
    table: Path, columns: Mapping[str, Column], csv_format: CsvFormat, options: Any
) -> tuple[dict[str, str | None], dict[str, list[str]]]:
    """The columns by their role, and others that could have it."""
    said = {
        role: getattr(options, f"{role}_column", None)
        for role in ("text", "label", "split", "group")
    }
    named = {role: name for role, name in said.items() if name not in (None, "-")}
    if named:
        reads = read_batches(table, named, advice="Set --{role}-column", csv_format=csv_format)
        next(reads, None)  # a name that is not there is refused
    for name in named.values():
        if name not in columns:
            raise SourceError(f"{shown(table)}: column {quoted(name)} lies too far right: move it")
    if (
        kind_of(table) == ".csv"
        and "text" not in named
        and (told := without_names(table, columns, _separator(table, csv_format)))
    ):
        raise SourceError(told)
    rest = {name: column for name, column in columns.items() if name not in named.values()}
    found: dict[str, str | None] = dict(named)
    others: dict[str, list[str]] = {"text": []}
    if "text" not in found:
        found["text"], *others["text"] = text_columns(table, rest)
    rest.pop(found["text"] or "", None)
    if "split" not in found:
        found["split"] = None if said["split"] == "-" else split_column(table, rest)
    rest.pop(found["split"] or "", None)
    if "label" not in found:
        ties = group_columns(rest)
        found["label"] = label_column(
            table, {n: c for n, c in rest.items() if n not in ties} or rest, csv_format
        )
    rest.pop(found["label"] or "", None)
    groups = group_columns(rest)
    if "group" not in found:
        many = [name for name in groups if rest[name].distinct >= _FEWEST_GROUPS]
        found["group"] = many[0] if many and said["group"] != "-" else None
    others["group"] = [name for name in groups if name != found["group"]]
    return {role: found[role] for role in said}, others


def _facts(table: Path, roles: Mapping[str, str], csv_format: CsvFormat) -> _Facts:
    facts = _Facts()
    for batch in read_batches(table, roles, advice="", csv_format=csv_format):
        texts = batch["text"].to_pylist()
        spaced, separator, _ = separated(batch["text"].fill_null(""), CURRENT)
        plain = pc.replace_substring_regex(spaced, separator, " ")
        for row, (text, words) in enumerate(zip(texts, plain.to_pylist(), strict=True), facts.rows):
            if not (text or "").strip():
                facts.empty.append(row)
                continue
            facts.texts.append(hash(text))
            facts.plain.append(hash(words.strip()))
        for text in texts[:_TEXTS_OF_A_BATCH]:
            facts.characters.update(text or "")
        has_label = [label_key(cell) is not None for cell in batch["label"].to_pylist()]
        facts.unlabelled += has_label.count(False)
        if "split" in batch:
            cells = map(plain_value, batch["split"].to_pylist())
            for row, (cell, labelled) in enumerate(zip(cells, has_label, strict=True), facts.rows):
                split = split_of(table, row, roles["split"], cell)
                facts.splits[split] += 1
                facts.without_label += not labelled and split != "unlabelled"
        facts.rows += len(texts)
    return facts


def _found(
    source: str,
    table: Path,
    columns: Mapping[str, Column],
    chosen: Mapping[str, str | None],
    others: Mapping[str, list[str]],
    writing: Writing,
    facts: _Facts,
    why: Mapping[str, str],
    values: Mapping[str, Any],
    classes: Mapping[str, tuple[str, int]],
) -> Iterator[str]:
    told = (
        writing.told
        if not Path(source).is_dir()
        else f"a folder, read as one table ({table.suffix})"
    )
    width = len(column_names(table, writing.csv_format))
    unread = f" ({width - len(columns)} of them not read)" if width > len(columns) else ""
    yield f"{shown(source)}: {facts.rows:,} rows, {width} columns{unread}; {told}"
    for key, because in writing.why.items():
        if because:
            yield f"  {key} {getattr(writing.csv_format, key)}: {because}"
    for role, name in chosen.items():
        note = f", {told_scripts(facts.characters)}" if role == "text" else ""
        yield f"  {role:6}{quoted(name) if name else 'none'}: {why[role]}{note}"
    for role, what in (("text", "reads like text"), ("group", "could tie rows together")):
        for name in others[role]:
            yield f"        {quoted(name)} {what} too: --{role}-column {shlex.quote(name)}"
    rest = {name: column for name, column in columns.items() if name not in chosen.values()}
    for name in called_split(rest) if chosen["split"] is None else ():
        said = few(written for written, _ in (rest[name].classes() or {}).values())
        yield f"        {quoted(name)} is no split, for it does not say both train and test: {said}"
    if (name := id_column(rest)) is not None:
        yield f"  id    {quoted(name)}: tells every row apart; it is not learnt from"
    if facts.unlabelled:
        yield f"  rows without a label: {facts.unlabelled:,}, whose words are learnt from, no more"
    if facts.empty:
        yield (
            f"  {len(facts.empty):,} texts are empty (row {listed_rows(facts.empty)}, the first is 0), which the stage"
            " prepare refuses: fill them, or delete the rows"
        )
    else:
        yield "  no text is empty"
    yield from _told_repeated(facts, values)
    once = [quoted(written) for written, count in classes.values() if count < 2]
    if once:
        yield (
            f"  a single row has {few(once)}, which the stage prepare refuses,"
            " for none can be learnt and tested: give more, or map them in prepare.labels"
        )


def _told_repeated(facts: _Facts, values: Mapping[str, Any]) -> Iterator[str]:
    same, nearly = facts.repeated()
    if not same + nearly:
        yield "  no text stands twice"
        return
    told = [f"{same:,} texts repeat another word for word"] if same else []
    told += (
        [f"{nearly:,} texts repeat another but for capitals, blanks and marks"] if nearly else []
    )
    yield f"  {', and '.join(told)}: what stands in test is left out of train"
    most = (values.get("validate") or {}).get("max_duplicate_share")
    if isinstance(most, int | float) and same > most * facts.rows:
        yield (
            f"  that is more than validate.max_duplicate_share ({most:g}), which stops the run: delete"
            " them, or raise it"
        )


def _told_group(columns: Mapping[str, Column], name: str | None) -> str:
    if name is None:
        return "no column ties rows together"
    column = columns[name]
    each = column.filled / max(1, column.distinct)
    blank = f", {column.empty:,} rows without" if column.empty else ""
    return f"{column.distinct:,} values, {each:.1f} rows each{blank}: all rows of one stay in one split"


def _changes(
    source: str,
    table: Path,
    chosen: Mapping[str, str | None],
    writing: Writing,
    why: Mapping[str, str],
    values: Mapping[str, Any],
    classes: Mapping[str, tuple[str, int]],
) -> Iterator[Change]:
    now = values.get("prepare") or {}
    before = (values.get("download") or {}).get("source", IMDB)
    place = path_in_project(source)
    yield Change("download.source", place, "as rnnpipe init found it")
    for role in ("text", "label", "split", "group"):
        yield Change(f"prepare.{role}_column", chosen[role], why[role])
    for key in ("quoting", "escape", "encoding"):
        because = writing.why.get(key) or "as the file is written"
        yield Change(f"prepare.{key}", getattr(writing.csv_format, key), because)
    # A person's own words for the classes stay while they are about these very labels.
    own = now.get("labels")
    same = before == place and now.get("label_column") == chosen["label"]
    if not (same and isinstance(own, dict) and classes.keys() <= labels_of(_as_text(own)).keys()):
        default = default_of(ClassificationParams, "prepare.labels")
        yield Change("prepare.labels", default, "the labels are those of the data")
    if before == IMDB:
        yield from defaults_again(ClassificationParams, values, OF_IMDB, "IMDB")


def _as_text(labels: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(key).lower() if isinstance(key, bool) else str(key): labels[key] for key in labels}


def _then(
    source: str, column: str, csv_format: CsvFormat, values: Mapping[str, Any]
) -> tuple[str, ...]:
    use = ["python -m rnnpipe predict 'a text of your own'"]
    if not Path(source).is_dir():
        command = ["python", "-m", "rnnpipe", "predict", "--file", source, "--column", column]
        use.append(shlex.join([*command, *csv_flags(csv_format)]))
    return ("dvc repro", *use)


def _separator(table: Path, csv_format: CsvFormat) -> str:
    with open_table(table) as file:
        return resolved(csv_format, table, file.read(1 << 16).decode("latin-1")).separator
