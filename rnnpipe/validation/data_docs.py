"""Data Docs: what Great Expectations found, as one page that needs no network.

Its own pages load sixteen files from other servers. Ours renders the same content into
``data_docs.html``, which brings its few rules of style along.
"""

import html
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnpipe.storage.files import atomic_directory

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult

TEMPLATE = Path(__file__).with_name("data_docs.html")
WARNING = ' <span class="as-warning">warning only</span>'


def write_page(result: "ExpectationSuiteValidationResult", verdict: Any, folder: Path) -> None:
    """Write ``index.html`` into a folder, which replaces the one before it.

    Args:
        result: as the library returned it; it is altered on the way.
        verdict: what the gate made of it (:class:`rnnpipe.validation.Verdict`).
        folder: of this suite alone.
    """
    from rnnpipe.validation.library import DefaultJinjaPageView, ValidationResultsPageRenderer

    outcomes = {outcome.name: outcome for outcome in verdict.expectations}
    for found in result.results:
        outcome = outcomes[found.expectation_config.meta["name"]]
        # The library takes a description for HTML; ours tell names that stand in the data.
        told = html.escape(found.expectation_config.description or "", quote=False)
        told += WARNING if outcome.severity == "warning" else ""
        found.expectation_config.description = told
        if outcome.unexpected_count is not None:
            # The rows are shown by their ids, the same few as in the verdict.
            found.result.pop("unexpected_index_list", None)
            found.result.pop("partial_unexpected_index_list", None)
            found.result["partial_unexpected_list"] = list(outcome.unexpected_ids)
        elif outcome.name == "columns":
            found.result["observed_value"] = "missing: " + (", ".join(outcome.observed) or "none")
        elif outcome.observed is not None:
            found.result["observed_value"] = outcome.observed  # NumPy's floats cannot be shown
    document = ValidationResultsPageRenderer().render(result)
    view = DefaultJinjaPageView(custom_views_directory=str(TEMPLATE.parent))
    page = view.render(document, template=TEMPLATE.name, verdict=verdict)
    page = page.replace("Sampled Unexpected Values", "Such as")
    with atomic_directory(folder) as partial:
        (partial / "index.html").write_text(page, encoding="utf-8")
