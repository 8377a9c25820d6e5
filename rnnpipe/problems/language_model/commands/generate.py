"""The command ``generate``: go on with a text, by a registered language model."""

import argparse
import sys
from typing import Any

from rnnpipe.errors import printable
from rnnpipe.runtime.arguments import path_or_name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("text", help="the beginning; may be empty")
    parser.add_argument("--temperature", type=float, default=0.8, help="0: always the likeliest")
    parser.add_argument("--top-k", type=int, default=50, help="draw from so many; 0: from all")
    parser.add_argument("--words", type=int, default=100, help="most words (100)")
    parser.add_argument("--seed", type=int, default=1, help="another one: another text (1)")
    parser.add_argument(
        "--model", type=path_or_name, help="folder, version or stage; default: the work tree's"
    )


def run(options: Any) -> None:
    """Print the beginning and what follows it."""
    from rnnpipe.problems.language_model.generation import Sampling, generate, load_language_model
    from rnnpipe.runtime.encoding import require_utf8

    require_utf8([options.text], "text")
    sampling = Sampling(
        temperature=options.temperature,
        top_k=options.top_k,
        most_words=options.words,
        seed=options.seed,
    )
    model, vocabulary = load_language_model(options.model)
    found = generate(model, vocabulary, options.text, sampling)
    said = " ".join(filter(None, [options.text.strip(), *found.words]))
    print(printable(said) + ("." if found.ended else " …"))
    if options.text.strip() and not found.known_words:
        print(
            "rnnpipe: the beginning holds no word that the model knows, so what follows has"
            " nothing to do with it",
            file=sys.stderr,
        )
