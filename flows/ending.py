"""How a command of Prefect's ends: at once, when all has been told."""

import atexit
import logging
import os
import sys
from collections.abc import Callable


def leaving() -> Callable[[int], int]:
    """Have this process end without taking apart what Prefect built.

    That costs most of a second, and threads that still wait for a server may bring the interpreter
    down while it does. To be called before Prefect is imported: what Prefect has to do at the end
    then comes first.

    Returns:
        A function that takes the exit code, and returns it.
    """
    codes: list[int] = []

    def leave() -> None:
        if codes:
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(codes[-1])

    atexit.register(leave)

    def keep(code: int) -> int:
        codes.append(code)
        return code

    return keep
