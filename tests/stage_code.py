"""Which of the project's files each stage executes, noted while a pipeline runs, and what it names.

Noting rides along with a run that is made anyway: a run of each stage for this alone took minutes.
"""

import json
from pathlib import Path

import yaml

from maintenance.dependencies import is_left_out
from rnnpipe.commands.project_copy import ProjectCopy
from rnnpipe.storage.paths import paths_of

# Python imports a module of this name first of all.
_SITECUSTOMIZE = """
import atexit, json, sys, uuid

def note():
    if sys.orig_argv[1:3] == ["-m", "rnnpipe"]:
        names = [m.__file__ for n, m in list(sys.modules.items()) if n.split(".")[0] == "rnnpipe"]
        stage = {"arguments": sys.orig_argv[3:], "files": [name for name in names if name]}
        with open(f"FOLDER/{uuid.uuid4()}.json", "w") as file:
            json.dump(stage, file)

atexit.register(note)
"""


def noting(sandbox: ProjectCopy, folder: Path) -> ProjectCopy:
    """The sandbox with an environment in which each stage notes into a folder what it executes."""
    (folder / "sitecustomize.py").write_text(_SITECUSTOMIZE.replace("FOLDER", str(folder)))
    return ProjectCopy(sandbox.folder, {**sandbox.environment, "PYTHONPATH": str(folder)})


def executed(sandbox: ProjectCopy, folder: Path) -> dict[tuple[str, ...], set[Path]]:
    """The files that the stages noted, relative to the project, by the stages' arguments."""
    notes = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    return {
        tuple(note["arguments"]): {Path(file).relative_to(sandbox.folder) for file in note["files"]}
        for note in notes
    }


def check_named(sandbox: ProjectCopy, problem: str, stage: str, files: set[Path]) -> None:
    """Fail when a stage's ``deps`` lack a file that it executes."""
    lock = sandbox.folder / paths_of(problem).pipeline / "dvc.lock"
    deps = [dep["path"] for dep in yaml.safe_load(lock.read_text())["stages"][stage]["deps"]]
    named = {path for dep in deps for path in (sandbox.folder / dep).rglob("*.py")}
    named = {path.relative_to(sandbox.folder) for path in named}
    named |= {path for path in map(Path, deps) if path.suffix == ".py"}
    missing = {path for path in files - named if not is_left_out(path)}
    assert not missing
