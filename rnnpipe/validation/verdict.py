"""Expectations checked, and what follows: a small verdict, and a page to look at."""

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rnnpipe.errors import DataValidationError
from rnnpipe.storage.files import write_json
from rnnpipe.validation.data_docs import write_page

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult
    from great_expectations.expectations.expectation import Expectation

MAX_IDS = 20
_MOST_LINES = 20  # of one error: where there are many classes, as many may be too rare

# How a table is read for a few of its ids.
_BATCH_ROWS, _BUFFER_BYTES = 5_000, 1 << 20

logger = logging.getLogger(__name__)

# Great Expectations sets this logger of its own to INFO, for a note about a temporary folder.
_CHATTER = "great_expectations.data_context.types.base"


@dataclass(frozen=True)
class Outcome:
    """What became of one expectation.

    Attributes:
        observed: the figure that was compared; for an expectation on every row the share of rows
            that break it; the missing ones for an expectation on columns; None where nothing
            could be compared.
        tried: whether the columns it looks at are there.
        unexpected_count: rows that break it; None where it is no expectation on every row.
        unexpected_ids: the ids of such rows where the expectation failed, sorted, at most 20.
    """

    name: str
    column: str | None
    severity: Literal["critical", "warning"]
    passed: bool
    expected: str
    observed: Any
    tried: bool = True
    unexpected_count: int | None = None
    unexpected_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """Outcomes of a suite, in its order; ``passed`` when every critical one passed."""

    passed: bool
    suite: str
    checked: int
    expectations: tuple[Outcome, ...]

    def failed(self, severity: str) -> tuple[Outcome, ...]:
        """Outcomes of this severity that did not pass."""
        return tuple(
            outcome
            for outcome in self.expectations
            if outcome.severity == severity and not outcome.passed
        )


def check(
    facts: pd.DataFrame,
    suite: "Sequence[Expectation]",
    name: str,
    docs: Path,
    table: Path | None = None,
) -> Verdict:
    """Check a suite on a table of facts and write its page, ``docs/NAME/index.html``.

    An expectation on a column that is missing fails without being tried. The same facts give
    the same verdict; the page shows when it was made.

    Args:
        facts: a row a checked thing, named by the column ``id``.
        suite: expectations, each with its name in ``meta`` and its sentence as ``description``.
        name: of the suite; also the folder of its page.
        docs: folder of the pages of all suites.
        table: a parquet table of the same rows, whose column ``id`` holds the ids of which the
            facts have but numbers; None: the facts hold them.
    """
    possible = [expectation for expectation in suite if _columns(expectation) <= set(facts)]
    result = _validate(_narrow(facts.reset_index(drop=True)), possible, name)
    tried = {found.expectation_config.meta["name"]: found for found in result.results}
    outcomes = tuple(
        _outcome(expectation, tried.get(expectation.meta["name"]), facts, table)
        for expectation in suite
    )
    passed = all(outcome.passed for outcome in outcomes if outcome.severity == "critical")
    verdict = Verdict(passed, name, len(facts), outcomes)
    write_page(result, verdict, Path(docs) / name)
    return verdict


@dataclass(frozen=True)
class Checks:
    """A narrow table of facts and the expectations that it must meet.

    ``table`` holds the ids where the facts have but their numbers; see :func:`check`.
    """

    name: str
    facts: pd.DataFrame
    suite: "Sequence[Expectation]"
    table: Path | None = None


def gate(checks: Checks, report: Path, docs: Path) -> None:
    """Check a suite, write the verdict, and stop at critical failures.

    Args:
        checks: facts and expectations.
        report: the JSON file to write, also where the gate stays shut.
        docs: folder of the pages of all suites.

    Raises:
        DataValidationError: a critical expectation failed.
    """
    verdict = check(checks.facts, checks.suite, checks.name, docs, checks.table)
    write_json(report, asdict(verdict))
    require(verdict, docs / checks.name / "index.html")


def require(verdict: Verdict, page: Path) -> None:
    """Say in the log which warnings there are, and stop at critical failures.

    Raises:
        DataValidationError: a critical expectation failed.
    """
    for outcome in verdict.failed("warning"):
        logger.warning("%s", _sentence(outcome))
    logger.info(
        "%s: %d of %d expectations hold for %d rows; %s",
        verdict.suite,
        sum(outcome.passed for outcome in verdict.expectations),
        len(verdict.expectations),
        verdict.checked,
        page,
    )
    if not verdict.passed:
        failed = verdict.failed("critical")
        # Where a column is missing, that is the news, not the many that could not be tried.
        news = [outcome for outcome in failed if outcome.tried] or failed
        lines = "".join(f"\n  {_sentence(outcome)}" for outcome in news[:_MOST_LINES])
        if len(news) > _MOST_LINES:
            lines += f"\n  and {len(news) - _MOST_LINES} more"
        raise DataValidationError(
            f"the {verdict.suite} do not meet what is expected of them:{lines}\n"
            f"{page} shows all; mend the data; limits stand under validate in params.yaml"
        )


def _columns(expectation: Any) -> set[str]:
    """Columns without which an expectation cannot be tried."""
    condition = getattr(expectation, "row_condition", None)
    parts = getattr(condition, "conditions", [condition] if condition else [])
    names = {part.column.name for part in parts}
    return names | ({expectation.column} if hasattr(expectation, "column") else set())


def _narrow(facts: pd.DataFrame) -> pd.DataFrame:
    """Put numbers in the place of ids, equal for equal ids and missing where they are.

    No expectation asks for more of them, and numbers are compared in less time and memory.
    """
    if "id" not in facts or pd.api.types.is_integer_dtype(facts["id"].dtype):
        return facts
    numbers = pd.factorize(facts["id"])[0].astype(np.int32)
    return facts.assign(id=pd.arrays.IntegerArray(numbers, numbers < 0))


def _validate(
    facts: pd.DataFrame, suite: "list[Expectation]", name: str
) -> "ExpectationSuiteValidationResult":
    from rnnpipe.validation.library import ProgressBarsConfig, gx, pandas_execution_engine

    # The fingerprint of the table, which nobody reads, takes as much memory as the table twice.
    pandas_execution_engine.HASH_THRESHOLD = 0
    logging.getLogger(_CHATTER).setLevel(logging.WARNING)

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_pandas("facts")
    # The library copies the table for each expectation, so each gets no more than its columns.
    groups: dict[tuple[str, ...], list[Expectation]] = {}
    for expectation in suite:
        groups.setdefault(tuple(sorted(_columns(expectation))), []).append(expectation)
    # One asset for all: each that is added writes the whole configuration anew.
    whole = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("all")
    found = []
    for columns, expectations in groups.items():
        batch = whole.get_batch(
            # One on the columns themselves needs no rows; the page's renderer copies its table.
            {"dataframe": facts[list(columns)] if columns else facts.iloc[:0]}
        )
        # Rows come back by their place, which is quick; values stay where they are.
        found.append(
            batch.validate(
                gx.ExpectationSuite(name, expectations=expectations),
                result_format={
                    "result_format": "COMPLETE",
                    "exclude_unexpected_values": True,
                    "return_unexpected_index_query": False,
                },
            )
        )
    return _together(found)


def _together(
    found: "Sequence[ExpectationSuiteValidationResult]",
) -> "ExpectationSuiteValidationResult":
    """Results of parts of a suite as one."""
    whole = found[0]
    whole.results = [result for part in found for result in part.results]
    held = sum(bool(result.success) for result in whole.results)
    whole.success = held == len(whole.results)
    whole.statistics = {
        "evaluated_expectations": len(whole.results),
        "successful_expectations": held,
        "unsuccessful_expectations": len(whole.results) - held,
        "success_percent": 100 * held / len(whole.results),
    }
    return whole


def _lowest(ids: Iterable[Any]) -> tuple[str, ...]:
    return tuple(sorted(set(map(str, ids)))[:MAX_IDS])


def _ids(table: Path, rows: "Sequence[int]") -> tuple[str, ...]:
    """The lowest ids that stand in some rows of a table, read some thousand rows at a time."""
    chosen, first = np.asarray(rows, np.int64), 0
    lowest: tuple[str, ...] = ()
    file = pq.ParquetFile(table, pre_buffer=False, buffer_size=_BUFFER_BYTES)
    for group in range(file.num_row_groups):
        batches = file.iter_batches(
            _BATCH_ROWS, row_groups=[group], columns=["id"], use_threads=False
        )
        for batch in batches:
            ids = batch.column(0).cast(pa.string())
            here = chosen[(first <= chosen) & (chosen < first + len(ids))] - first
            lowest = _lowest((*lowest, *ids.take(pa.array(here)).drop_null().to_pylist()))
            first += len(ids)
    return lowest


def _outcome(expectation: Any, found: Any, facts: pd.DataFrame, table: Path | None) -> Outcome:
    observed: Any = None
    count: int | None = None
    ids: tuple[str, ...] = ()
    passed = found is not None and bool(found.success)
    if found is None:
        pass  # a column is missing, and the expectation on the columns says which
    elif found.exception_info and found.exception_info.get("raised_exception", True):
        observed = "could not be evaluated"
    elif "unexpected_index_list" in found.result:
        count = int(found.result["unexpected_count"])
        observed = _plain((found.result["unexpected_percent"] or 0.0) / 100)
        rows = found.result["unexpected_index_list"] or []
        if "id" in facts and not passed:
            ids = _lowest(facts["id"].iloc[rows].dropna()) if table is None else _ids(table, rows)
    elif hasattr(expectation, "column_set"):
        observed = sorted(set(expectation.column_set) - set(facts))
    else:
        observed = _plain(found.result.get("observed_value"))
    return Outcome(
        name=expectation.meta["name"],
        column=getattr(expectation, "column", None),
        severity="warning" if expectation.severity == "warning" else "critical",
        passed=passed,
        expected=expectation.description,
        observed=observed,
        tried=found is not None,
        unexpected_count=count,
        unexpected_ids=ids,
    )


def _plain(value: Any) -> Any:
    """A value as JSON knows it, rounded to six digits; None where there is no number."""
    if isinstance(value, list | set | tuple):
        return sorted(_plain(item) for item in value)
    if value is None or isinstance(value, str):
        return value
    number = float(value)
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() and not isinstance(value, float) else round(number, 6)


def _sentence(outcome: Outcome) -> str:
    if not outcome.tried:
        found = "not tried, for want of a column"
    elif isinstance(outcome.observed, list) and outcome.column is None:
        found = "missing: " + ", ".join(outcome.observed)
    elif outcome.unexpected_count is None:
        found = f"found {'none' if outcome.observed is None else outcome.observed}"
    else:
        found = f"found {outcome.unexpected_count} that break it"
    if outcome.unexpected_ids:
        found += f", such as {outcome.unexpected_ids[0][:200]!r}"
    return f"{outcome.name}: expected that {outcome.expected}; {found}"
