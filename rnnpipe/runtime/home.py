"""A home and a name for users who have none, as in many a container."""

import getpass
import os
from pathlib import Path

NOWHERE = "/proc/no-home"  # nothing is there, and nothing can be made


def give_home() -> None:
    """Set HOME and USER where libraries, which ask for them and fail, could not tell them."""
    if not Path(os.path.expanduser("~")).is_absolute():  # noqa: PTH111, which does not fail
        os.environ["HOME"] = NOWHERE
    try:
        getpass.getuser()
    except (KeyError, OSError):  # the one before Python 3.13, the other from there on
        os.environ["USER"] = f"uid-{os.getuid()}"
