"""Small projects on generated data, for tests: made, copied, changed, watched.

The whole DAG is built once a test session (``finished`` in ``tests/conftest.py``); tests work in
copies of it. Where what a stage computes is not the point, the copy is a quick one.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import yaml

from rnnpipe.commands.project_copy import ProjectCopy, make_demo
from rnnpipe.runtime.progress import FILE_VARIABLE

ROOT = Path(__file__).parents[1]
DVC = (sys.executable, "-m", "dvc")
REVIEWS = 2400

# Few words a network, so that each training takes seconds; every pipeline ends in a good model.
SMALL = {
    ".": {"validate.min_labelled": 100, "train.epochs": 3, "evaluate.bootstrap_samples": 100},
    "pipelines/language_model": {
        "train.batch_size": 8,
        "train.epochs": 2,
        "evaluate.bootstrap_samples": 100,
    },
    "pipelines/forecasting": {"train.epochs": 6, "evaluate.bootstrap_samples": 100},
}


def make_small(folder: Path) -> ProjectCopy:
    """Make a project in which nothing has run, committed as ``Begin``."""
    sandbox = make_demo(ROOT, folder.resolve(), REVIEWS)
    for pipeline, values in SMALL.items():
        set_params(sandbox.folder / pipeline, values)
    sandbox.commit("Begin")
    return sandbox


def copy(sandbox: ProjectCopy, folder: Path) -> ProjectCopy:
    """Copy a project with its git, its DVC cache, and its outputs; the copy is free to change."""
    folder = folder.resolve()
    shutil.copytree(sandbox.folder, folder, symlinks=True)
    return ProjectCopy(folder, sandbox.environment)


def keep_root(sandbox: ProjectCopy) -> None:
    """Take the pipelines beside the root's out of a project; committed.

    With their files go their results, which ``dvc exp apply`` would ask for.
    """
    shutil.rmtree(sandbox.folder / "pipelines")
    sandbox.commit("Keep the root's pipeline")


def set_params(folder: Path, values: Mapping[str, object]) -> None:
    """Change values, by dotted name, in the ``params.yaml`` of a folder."""
    path = folder / "params.yaml"
    params = yaml.safe_load(path.read_text())
    for key, value in values.items():
        section, name = key.split(".")
        params[section][name] = value
    path.write_text(yaml.safe_dump(params, sort_keys=False))


def fails(sandbox: ProjectCopy, *command: str, **environment: str) -> str:
    """Run a command that must fail, and return all that it printed."""
    done = subprocess.run(
        command,
        cwd=sandbox.folder,
        env={**sandbox.environment, **environment},
        text=True,
        capture_output=True,
    )
    assert done.returncode != 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def processes(folder: Path) -> Iterator[tuple[int, list[str]]]:
    """Every live process that works in a folder or below it, with its command line."""
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder) and (command := process.cmdline()):
                yield process.pid, command
        except psutil.Error:  # it ended while we looked, or is a zombie
            continue


def is_stage(command: list[str], stage: str) -> bool:
    """Whether a command line is that of a stage's own process."""
    return command[1:4] == ["-m", "rnnpipe", stage]


def trains(pid: int) -> bool:
    """Whether a training's own process is in the midst of it: an epoch has come to its end."""
    try:
        told = Path(psutil.Process(pid).environ()[FILE_VARIABLE])
        return '"kind": "epoch"' in told.read_text()
    except (psutil.Error, FileNotFoundError):
        return False


# --- Quick stages ------------------------------------------------------------------------

# In the place of rnnpipe/__main__.py, on which no stage depends: so the copy is up to date as it
# stands. Stages that take seconds write what they wrote before, changed as their parameters bid;
# the others, and all commands, are the real ones.
_QUICK_MAIN = """
import hashlib, json, math, shutil, sys, time
from pathlib import Path

RECORDED = Path(@RECORDED@)
QUICK = {
    "prepare", "validate", "validate_sequences", "windows", "word_vectors", "baseline", "train",
    "gradient_flow", "evaluate",
} - {@REAL@}
# Where there are so many that the training is to be met at its work, it takes its time: each epoch
# that is told keeps a run and its server busy.
EPOCH_SECONDS, MANY, SECONDS_OF_MANY = 0.05, 500, 1.0


def outputs(stage, pipeline):
    import yaml

    content = yaml.safe_load((pipeline / "dvc.yaml").read_text())["stages"][stage]
    for kind in ("outs", "metrics", "plots"):
        for out in content.get(kind, ()):
            yield Path(out if isinstance(out, str) else next(iter(out)))


def changed(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content, indent=2) + "\\n")


def train(params, network):
    from rnnpipe.runtime.progress import TrainingReport

    settings = params["train"]
    rows = []
    with TrainingReport(params["problem"], settings["epochs"], "batches") as report:
        for number in range(1, settings["epochs"] + 1):
            time.sleep(EPOCH_SECONDS if settings["epochs"] < MANY else SECONDS_OF_MANY)
            loss = 1 / (1 + settings["hidden_size"] * settings["learning_rate"] * number)
            rows.append({"epoch": number, "loss": loss, "validation_loss": loss})
            report.epoch(rows[-1])

    def with_rows(history):
        known = history["epochs"][-1]
        history["epochs"] = [known | row for row in rows]
        history["best_epoch"] = len(rows)
        history["of"] = hashlib.sha256(json.dumps(settings).encode()).hexdigest()

    changed(network / "history.json", with_rows)


def quick(stage, file):
    import yaml

    from rnnpipe.runtime.parent import watch_parent
    from rnnpipe.storage.paths import paths_of

    watch_parent()
    params = yaml.safe_load(file.read_text())
    paths = paths_of(params["problem"])
    for out in outputs(stage, file.parent):
        out.parent.mkdir(parents=True, exist_ok=True)
        if (RECORDED / out).is_dir():
            shutil.rmtree(out, ignore_errors=True)
            shutil.copytree(RECORDED / out, out)
        else:
            shutil.copyfile(RECORDED / out, out)
    if stage == "train":
        train(params, paths.network)
    if stage == "evaluate":
        trained = hashlib.sha256((paths.network / "history.json").read_bytes()).digest()[0]

        def other(metrics):  # another network, another figure
            first = next(name for name, value in metrics.items() if isinstance(value, float))
            metrics[first] = round(metrics[first] * (1 - 1e-5 * (1 + trained)), 6)

        changed(paths.metrics, other)


def main(arguments=None):
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if not arguments or arguments[0] not in QUICK:
        from rnnpipe import command_line

        return command_line.main(arguments)
    given = arguments[arguments.index("--params") + 1] if "--params" in arguments else "params.yaml"
    quick(arguments[0], Path(given))


if __name__ == "__main__":
    sys.exit(main())
"""


def quicken(sandbox: ProjectCopy, recorded: ProjectCopy, real: Sequence[str] = ()) -> None:
    """Have a project's stages take a moment, under real dvc, git and Prefect; committed.

    Args:
        sandbox: the project.
        recorded: a finished one, whose outputs are written once more.
        real: stages that stay as they are.
    """
    package = sandbox.folder / "rnnpipe"
    (package / "__main__.py").rename(package / "command_line.py")
    main = _QUICK_MAIN.replace("@RECORDED@", repr(str(recorded.folder)))
    (package / "__main__.py").write_text(main.replace("@REAL@", ", ".join(map(repr, real)) or '""'))
    sandbox.commit("Make the stages quick")


def forget_code(sandbox: ProjectCopy) -> None:
    """Have a finished project's stages depend on no code but that of the report; committed.

    DVC reads the whole list again in each of its commands, a third of its time.
    """

    def is_kept(dep: Any) -> bool:  # a path; in a lock what is known of it
        path = dep if isinstance(dep, str) else dep["path"]
        return not path.startswith("rnnpipe/") or path.startswith("rnnpipe/reporting/")

    for dag in [sandbox.folder / "dvc.yaml", *sandbox.folder.glob("pipelines/*/dvc.yaml")]:
        for file in (dag, dag.with_suffix(".lock")):
            content = yaml.safe_load(file.read_text())
            for stage in content["stages"].values():
                stage["deps"] = list(filter(is_kept, stage["deps"]))
            file.write_text(yaml.safe_dump(content, sort_keys=False))
    sandbox.run(*DVC, "commit", "--force", "--quiet")  # so that the run cache knows them, too
    sandbox.commit("Depend on less code")


def make_quick(finished: ProjectCopy, folder: Path, real: Sequence[str] = ()) -> ProjectCopy:
    """Copy a finished project, and make its stages and DVC's look at them quick."""
    sandbox = copy(finished, folder)
    forget_code(sandbox)
    quicken(sandbox, finished, real)
    return sandbox
