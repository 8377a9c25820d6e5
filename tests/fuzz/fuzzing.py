"""What the fuzz targets share: ten seconds each in the suite, as long as one likes by hand.

``RNNPIPE_FUZZ_SECONDS=600 python -m pytest tests/fuzz`` searches ten minutes a target, from
another seed each time; without the variable the seeds are the same in every run.
"""

import itertools
import os
import random
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from rnnpipe.errors import ParameterError, RnnpipeError

VARIABLE = "RNNPIPE_FUZZ_SECONDS"
BY_HAND = VARIABLE in os.environ
SECONDS = float(os.environ.get(VARIABLE, 10))
MESSAGE_CHARACTERS = 1_000
MOST_LINES = 11
MEMORY_BYTES = 2 << 30

# A round is short, so that the last one ends soon after its time.
_ROUND = settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))


def fuzz(
    *strategies: st.SearchStrategy[Any], share: float = 1.0
) -> Callable[[Callable[..., None]], Any]:
    """Make a test of a function of drawn values: it is called until the seconds are over.

    Args:
        strategies: of its arguments.
        share: of the seconds of one door, where several tests try it.

    >>> @fuzz(st.binary())
    ... def test_any_bytes_end_well(content): ...
    """

    def decorate(check: Callable[..., None]) -> Callable[[], None]:
        def test() -> None:
            end = time.monotonic() + SECONDS * share
            first = random.SystemRandom().randrange(2**32) if BY_HAND else 0
            for number in itertools.count(first):
                seed(number)(_ROUND(given(*strategies)(check)))()
                if time.monotonic() > end:
                    return

        test.__name__, test.__doc__ = check.__name__, check.__doc__
        return test

    return decorate


def ends_well(action: Callable[[], Any], folder: Path) -> Any:
    """Call ``action`` and hold it to what every door promises; return what it gave, None if nothing.

    It gives a result, or an :class:`RnnpipeError` of one short line (of parameters, a few),
    whereafter ``folder`` holds what it held before; and it takes no more than a bounded memory.
    """
    before, memory = _held(folder), _peak_bytes()
    try:
        result = action()
    except RnnpipeError as error:
        message = str(error)
        assert message, "an error without a message"
        lines = message.splitlines() if isinstance(error, ParameterError) else [message]
        for line in lines:  # of parameters each fault has one
            assert len(line) < MESSAGE_CHARACTERS, line[:2_000]
            assert line.isprintable(), f"no single line of plain text: {line!r}"
        assert len(lines) <= MOST_LINES
        assert _held(folder) == before, "something was left behind, or replaced"
        result = None
    grown = _peak_bytes() - memory
    assert grown < MEMORY_BYTES, f"{grown:,} bytes of memory"
    return result


def damaged(contents: list[bytes]) -> st.SearchStrategy[bytes]:
    """One of some contents with a few changes: bytes replaced, put in, left out, moved or repeated.

    Places count from the end as often as from the beginning, where footers and headers stand.
    """
    place = st.integers(-300, 300) | st.integers(-(10**6), 10**6)
    change = st.tuples(
        st.sampled_from(["replace", "insert", "delete", "repeat", "flip", "cut"]),
        place,
        st.integers(0, 64) | st.integers(0, 10_000),
        st.binary(min_size=1, max_size=16)
        | st.sampled_from([b"\0" * 8, b"\xff" * 8, b"\x7f\xff\xff\xff", b"\n", b'"', b"9" * 40]),
    )
    return st.builds(_changed, st.sampled_from(contents), st.lists(change, max_size=6))


def _changed(content: bytes, changes: list[tuple[str, int, int, bytes]]) -> bytes:
    for kind, place, length, piece in changes:
        at = place % (len(content) + 1)
        before, after = content[:at], content[at:]
        match kind:
            case "replace":
                content = before + piece + after[len(piece) :]
            case "insert":
                content = before + piece + after
            case "delete":
                content = before + after[length:]
            case "repeat":
                content = before + after[:length] * 2 + after
            case "flip" if after:
                content = before + bytes([after[0] ^ piece[0]]) + after[1:]
            case "cut" if length % 4 == 0:  # what is short tells little
                content = before
    return content


def _held(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
