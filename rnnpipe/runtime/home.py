"""A home folder and a name for a user who has none, as in many a container.

DVC and Prefect end with a traceback where neither ``HOME`` nor the system's list of users says them.
"""

import getpass
import os
from contextlib import suppress
from pathlib import Path

FOLDER = Path(".rnnpipe/home")


def ensure_home(project: Path) -> None:
    """Have a folder of the project stand in for a home that cannot be told, for children too.

    Args:
        project: root of the project.
    """
    try:
        Path.home()
    except RuntimeError:
        home = project.resolve() / FOLDER
        with suppress(OSError):  # who writes there will say so
            home.mkdir(parents=True, exist_ok=True)
        os.environ["HOME"] = str(home)
    try:
        getpass.getuser()
    except (KeyError, OSError, ImportError):
        os.environ["LOGNAME"] = os.environ["USER"] = f"user{os.getuid()}"
