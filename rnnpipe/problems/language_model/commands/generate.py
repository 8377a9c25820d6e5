"""The command ``generate``: go on with a text, by a registered language model."""

import argparse
import json
import sys
from typing import Any

from rnnpipe.errors import printable
from rnnpipe.runtime.arguments import path_or_name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("text", help="the beginning; may be empty")
    parser.add_argument("--temperature", type=float, default=0.8, help="0: always the likeliest")
    parser.add_argument("--top-k", type=int, default=50, help="draw from so many; 0: from all")
    parser.add_argument(
        "--top-p",
        type=float,
        default=0.95,
        help="draw from the fewest likeliest that have so much of the probability; 1: from all",
    )
    parser.add_argument(
        "--repetition",
        type=float,
        default=1.2,
        help="above 1: what was said is said again less often, rare words above all",
    )
    parser.add_argument(
        "--no-repeat", type=int, default=3, help="no run of so many words comes twice; 0: it may"
    )
    parser.add_argument("--words", type=int, default=100, help="most words (100)")
    parser.add_argument("--seed", type=int, default=1, help="another one: another text (1)")
    parser.add_argument(
        "--mixed", action="store_true", help="mix n-grams and the text's own words in"
    )
    parser.add_argument(
        "--json", action="store_true", help="one object: beginning, text, words, ended, perplexity"
    )
    parser.add_argument(
        "--perplexity", action="store_true", help="tell it, of what was written, on stderr"
    )
    parser.add_argument(
        "--model", type=path_or_name, help="folder, version or stage; default: the work tree's"
    )


def run(options: Any) -> None:
    """Print the beginning and what follows it."""
    from rnnpipe.problems.language_model.generation import (
        Sampling,
        generate,
        load_language_model,
        load_mixed_in,
    )
    from rnnpipe.runtime.encoding import require_utf8

    require_utf8([options.text], "text")
    sampling = Sampling(
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        repetition=options.repetition,
        no_repeat=options.no_repeat,
        most_words=options.words,
        seed=options.seed,
    )
    model, vocabulary = load_language_model(options.model)
    mixed_in = load_mixed_in(options.model, vocabulary) if options.mixed else None
    found = generate(model, vocabulary, options.text, sampling, mixed_in)
    said = " ".join(filter(None, [options.text.strip(), *found.words]))
    if options.json:
        answer = {
            "beginning": options.text,
            "text": said,
            "words": list(found.words),
            "ended": found.ended,
            "perplexity": found.perplexity,
        }
        print(json.dumps(answer))
    else:
        print(printable(said) + ("." if found.ended else " …"))
    if options.perplexity:
        print(f"rnnpipe: perplexity of what was written {found.perplexity:.1f}", file=sys.stderr)
    if options.text.strip() and not found.known_words:
        print(
            "rnnpipe: the beginning holds no word that the model knows, so what follows has"
            " nothing to do with it",
            file=sys.stderr,
        )
