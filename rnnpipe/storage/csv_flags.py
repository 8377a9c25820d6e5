"""How a CSV is written, as a person says it to a command."""

from dataclasses import asdict

from rnnpipe.storage.csv_format import CsvFormat

_USUAL = {"quoting": "double", "escape": "none", "encoding": "utf-8"}


def csv_flags(csv_format: CsvFormat) -> list[str]:
    """Return the arguments that say what is not as usual, such as ``--encoding cp1252``."""
    said = asdict(csv_format)
    return [
        argument
        for key, usual in _USUAL.items()
        if said[key] != usual
        for argument in (f"--{key}", said[key])
    ]
