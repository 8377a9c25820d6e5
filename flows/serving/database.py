"""Whether Prefect's server can use its database: told in a sentence before it starts.

Itself it answers with some two hundred lines, and of damage in the middle of the file not before a
run asks for what stood there.
"""

import os
import sqlite3
from collections.abc import Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

NAME = "prefect.db"

# Larger ones are not read through: it would take more than a moment.
_MOST_BYTES = 64 << 20
_ELSEWHERE = ("PREFECT_API_DATABASE_CONNECTION_URL", "PREFECT_SERVER_DATABASE_CONNECTION_URL")
_HOLDS = "it holds the history of runs; data and models are elsewhere"


def database_fault(state: Path, variables: Mapping[str, str] = os.environ) -> str:
    """Say why the server cannot use the database in its folder; empty if it can, or is to make it.

    Args:
        state: folder of Prefect's state.
        variables: of the server's environment; where they name another database, nothing is said.
    """
    path = state / NAME
    if any(variables.get(name) for name in _ELSEWHERE) or not (path.exists() or path.is_symlink()):
        return ""
    if not path.is_file():
        return f"{path} is no file, so it is no database of Prefect's: move it away"
    sides = [path.with_name(f"{NAME}{end}") for end in ("-wal", "-shm", "-journal")]
    for file in (path, *(side for side in sides if side.exists())):
        if not (file.is_file() and os.access(file, os.R_OK | os.W_OK)):
            return f"{file} cannot be read and written: mend its permissions, or move it away ({_HOLDS})"
    try:
        return _fault(path)
    except sqlite3.Error as error:
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            return ""  # another server writes, so it is in use
        return f"{path} is damaged ({error}): move it away ({_HOLDS})"


def _fault(path: Path) -> str:
    database = sqlite3.connect(path, timeout=1)
    try:
        database.text_factory = bytes
        tables = {name for (name,) in database.execute("select name from sqlite_master")}
        if path.stat().st_size <= _MOST_BYTES:
            found = database.execute("pragma quick_check(1)").fetchone()[0]
            if found != b"ok":
                return f"{path} is damaged: move it away ({_HOLDS})"
        if not tables:
            return ""  # empty: the server makes its tables
        if b"alembic_version" not in tables:
            return f"{path} is no database of Prefect's: move it away"
        revisions = database.execute("select version_num from alembic_version").fetchall()
    finally:
        database.close()
    known = _known_revisions()
    if known and not all(revision in known for (revision,) in revisions):
        return other_release(path)
    return ""


def other_release(path: Path) -> str:
    """What is said of a database that the installed Prefect does not know."""
    return (
        f"{path} was written by another release of Prefect than the installed"
        f" {version('prefect')}, which cannot read it: install that release, or move the"
        f" file away ({_HOLDS})"
    )


def _known_revisions() -> set[bytes]:
    """Those of the installed Prefect, whose import would take seconds; empty if not found."""
    spec = find_spec("prefect")
    found = set()
    for folder in (spec and spec.submodule_search_locations) or ():
        steps = Path(folder) / "server/database/_migrations/versions/sqlite"
        # 2026_09_15_000000_a3b9c7d2e5f1_what_it_does.py
        found |= {name.name.split("_")[4].encode() for name in steps.glob("*_*_*_*_*_*.py")}
    return found
