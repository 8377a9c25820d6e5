"""git and DVC as child processes."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rnnpipe.errors import RegistryError


def git(root: Path, *arguments: str) -> str:
    """Run git in the project and return what it prints.

    Raises:
        RegistryError: git is not installed or fails; ends with git's own words.
    """
    return _run(root, f"git {arguments[0]}", ["git", *arguments])


def dvc(root: Path, *arguments: str) -> str:
    """Run this environment's DVC in the project and return what it prints.

    Raises:
        RegistryError: DVC fails; ends with DVC's own words.
    """
    return _run(root, f"dvc {arguments[0]}", [sys.executable, "-m", "dvc", *arguments])


def _run(root: Path, title: str, command: Sequence[str]) -> str:
    # Nobody may be asked anything: publishing also runs at night.
    environment = {
        "GIT_SSH_COMMAND": "ssh -o BatchMode=yes",
        **os.environ,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_EDITOR": "true",
        "DVC_NO_ANALYTICS": "1",
        "LC_ALL": "C.UTF-8",
    }
    try:
        done = subprocess.run(
            command,
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError as error:
        raise RegistryError(f"{error.filename} is not here, and the registry needs it") from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-1000:]
        raise RegistryError(f"`{title}` ended with code {done.returncode}: {said}")
    return done.stdout
