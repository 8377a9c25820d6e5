"""The command ``slope``: tell the slope that was learnt."""

import argparse
import json
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--digits", type=int, default=2)


def run(options: Any) -> None:
    from rnnpipe.problems.slope.files import PLACES

    slope = json.loads((PLACES.model / "network.onnx").read_text())
    print(f"{slope:.{options.digits}f}")
