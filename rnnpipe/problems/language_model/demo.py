"""What the demo shows of language modelling: a text that goes on; classification brings the texts."""

from pathlib import Path

COMMAND = ("generate", "The film")


def write_data(folder: Path, size: int) -> None:
    """Write nothing: its texts are those of classification."""
