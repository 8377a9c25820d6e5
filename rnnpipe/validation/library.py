"""Great Expectations, imported once, and without what it brings for databases and drawings."""

from rnnpipe.runtime.imports import lean_imports

with lean_imports(
    hidden=("botocore", "boto3", "matplotlib", "pyspark", "sqlalchemy"),
    later=("altair", "scipy.stats"),
):
    import great_expectations as gx
    import great_expectations.expectations as gxe
    from great_expectations.data_context.types.base import ProgressBarsConfig
    from great_expectations.execution_engine import pandas_execution_engine
    from great_expectations.expectations.row_conditions import Column
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

__all__ = [
    "Column",
    "DefaultJinjaPageView",
    "ProgressBarsConfig",
    "ValidationResultsPageRenderer",
    "gx",
    "gxe",
    "pandas_execution_engine",
]
