"""The expectations that suites have in common."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation


def has_columns(names: tuple[str, ...]) -> "Expectation":
    """Expect exactly these columns."""
    from rnnpipe.validation.library import gxe

    return expect(
        gxe.ExpectTableColumnsToMatchSet,
        "columns",
        "these columns, or what they follow from, are there: " + ", ".join(names),
        column_set=list(names),
        exact_match=False,
    )


def never(column: str, name: str, expected: str, severity: str = "critical") -> "Expectation":
    """A boolean fact that holds for no row."""
    from rnnpipe.validation.library import gxe

    return expect(
        gxe.ExpectColumnValuesToBeInSet,
        name,
        expected,
        severity,
        column=column,
        value_set=[False],
    )


def expect(
    kind: "type[Expectation]", name: str, expected: str, severity: str = "critical", **how: Any
) -> "Expectation":
    """Return an expectation with what people read of it: its name, what is expected, how severe."""
    return kind(meta={"name": name}, description=expected, severity=severity, **how)
