"""Moved or tidied code costs no training: write its hashes into the locks, where no byte changed.

``python -m maintenance.relock`` runs a small project with the code that the committed ``dvc.lock``
files were written with, and with that of the work tree. Only where every output of every stage has
the same bytes are the code's hashes in the real locks rewritten; the real outputs need not be
there. Else it names the outputs that differ, and nothing is written.

The small project keeps every switch of the real parameters (cell, sampling, word vectors, ...) and
makes only the sizes small: what the real pipelines execute is what is compared.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from dvc.repo import Repo
from dvc.stage import PipelineStage

from rnnpipe.commands.project_copy import ProjectCopy, copy_project, write_generated_data
from rnnpipe.errors import RnnpipeError

CODE = "rnnpipe/"
WORK = Path(".rnnpipe/relock")
REVIEWS = 600

# By pipeline, what is made small; whatever else the real parameters say stays.
_SMALL_TRAINING = {"hidden_size": 8, "epochs": 2}
SMALL: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    ".": {
        "download": {"source": "data/generated.json"},
        "validate": {"min_labelled": 100, "max_duplicate_share": 0.2},
        "word_vectors": {"size": 16},
        "train": {**_SMALL_TRAINING, "embedding_size": 16, "bigram_buckets": 4096},
        "evaluate": {"bootstrap_samples": 100},
    },
    "pipelines/forecasting": {
        "download": {"source": "data/mirror/generated_series.csv"},
        "windows": {
            "train": 0.6,
            "validation": 0.2,
            "test": 0.2,
            "look_back": 168,
            "horizons": [24, 48],
        },
        "train": {**_SMALL_TRAINING, "segment": 24},
        "evaluate": {"bootstrap_samples": 100},
    },
    "pipelines/language_model": {
        "train": {**_SMALL_TRAINING, "embedding_size": 16, "sampled_words": 32, "batch_size": 8},
        "evaluate": {"bootstrap_samples": 100},
    },
}


@dataclass(frozen=True)
class Refusal:
    """Why a stage's entry in the real lock is left as it is."""

    stage: str
    reason: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, and rewrite the locks or say what differs; 1 where something does."""
    parser = argparse.ArgumentParser(prog="python -m maintenance.relock", description=__doc__)
    parser.add_argument(
        "--base", help="the old code; by default the last commit that wrote a dvc.lock"
    )
    parser.add_argument(
        "--others",
        action="store_true",
        help="where some outputs differ, rewrite the entries of the stages that neither make nor"
        " read one of them: the others will be run",
    )
    options = parser.parse_args(arguments)
    try:
        return relock(Path(), options.base, options.others)
    except RnnpipeError as error:
        print(f"relock: {error}", file=sys.stderr)
        return error.exit_code


def relock(root: Path, base: str | None = None, others: bool = False) -> int:
    """Run the small project with old and new code, and rewrite the locks if nothing changed.

    Args:
        root: the project's folder, a git work tree; its code is the new one.
        base: commit whose code is the old one; None: the last that wrote a ``dvc.lock``.
        others: rewrite the entries of stages that differing outputs do not touch.

    Returns:
        0 where every output has the same bytes, else 1.

    Raises:
        RnnpipeError: a commit is not there, or a small project did not run to its end.
    """
    base = base or _git(root, "log", "-1", "--format=%H", "--", *_locks(root)).strip()
    with _old_code(root, base) as old:
        found = {
            name: small_outputs(folder, root / WORK / name, root / WORK / "cache")
            for name, folder in (("old", old), ("new", root))
        }
        differing = different_outputs(found["old"], found["new"])
        if differing:
            print("The code changes results, so that their stages have to run anew (dvc repro):")
            print(*(f"  {path}: {became}" for path, became in differing.items()), sep="\n")
        refusals = rewrite_locks(root, old, differing) if others or not differing else None
    same = len(found["new"].keys() - differing.keys())
    print(f"{same} outputs of the small project have the same bytes as at {base[:12]}")
    if refusals is None:
        print("Nothing was rewritten")
    for refusal in refusals or ():
        print(f"  left as it is: {refusal.stage}, {refusal.reason}")
    return int(bool(differing))


def small_outputs(code: Path, folder: Path, cache: Path) -> dict[str, str]:
    """Run all pipelines of a small project, and return the hash of every output by its path.

    Args:
        code: a git work tree with the project's code.
        folder: where the small project is made; what lies there is removed.
        cache: DVC cache that it shares with others of its kind, so that a stage whose code did
            not change is not run again.
    """
    sandbox = copy_project(code, folder, share_cache=False)
    sandbox.run(sys.executable, "-m", "dvc", "cache", "dir", "--local", str(cache.resolve()))
    write_generated_data(folder, REVIEWS)
    for pipeline, sections in SMALL.items():
        path = folder / pipeline / "params.yaml"
        if path.is_file():
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
            for section, changes in sections.items():
                values.setdefault(section, {}).update(changes)
            path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
            path.with_name("dvc.lock").unlink(missing_ok=True)
    sandbox.commit("Begin")
    return _reproduce(sandbox)


def _reproduce(sandbox: ProjectCopy) -> dict[str, str]:
    sandbox.reproduce("--all-pipelines")
    outputs: dict[str, str] = {}
    for lock in _locks(sandbox.folder):
        stages = yaml.safe_load((sandbox.folder / lock).read_text(encoding="utf-8"))["stages"]
        for stage in stages.values():
            outputs |= {out["path"]: out["md5"] for out in stage.get("outs", ())}
    return outputs


def different_outputs(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    """Tell what became of each output that differs between two runs, by its path.

    >>> different_outputs({"a": "1", "b": "2"}, {"a": "1", "b": "3", "c": "4"})
    {'b': 'has other bytes', 'c': 'is new'}
    """
    words = dict.fromkeys(old.keys() - new.keys(), "is gone")
    words |= dict.fromkeys(new.keys() - old.keys(), "is new")
    both = old.keys() & new.keys()
    words |= {path: "has other bytes" for path in both if old[path] != new[path]}
    return dict(sorted(words.items()))


def rewrite_locks(root: Path, old: Path, differing: Collection[str] = ()) -> list[Refusal]:
    """Put the code's hashes into the locks of a work tree.

    An entry is rewritten only where it was up to date with the old code, where what it takes
    besides code (parameters, data, sources) is what the lock says, and where the stage names the
    outputs that the lock holds.

    Args:
        root: the project's folder, whose code gives the same bytes as the old.
        old: a work tree with the old code.
        differing: outputs that the new code makes otherwise; who makes or reads one is left out.

    Returns:
        The entries that are left as they are.
    """
    for lock in _locks(root):
        if (old / lock).parent.is_dir():
            shutil.copyfile(root / lock, old / lock)
    refusals = []
    with Repo(str(old)) as before, Repo(str(root)) as after, after.lock:
        known, stages = (
            {f"{stage.path_in_repo}:{stage.name}": stage for stage in repo.index.stages}
            for repo in (before, after)
        )
        made = {
            out.def_path: out for stage in stages.values() for out in stage.outs if out.hash_info
        }
        for name, stage in stages.items():
            if not stage.outs or not all(out.hash_info for out in stage.outs):
                refusals.append(Refusal(name, "no run of it is locked"))
            elif touched := [
                item.def_path for item in (*stage.outs, *stage.deps) if item.def_path in differing
            ]:
                refusals.append(Refusal(name, f"the new code changes {touched[0]}"))
            elif reason := _outdated(known.get(name), stage, made):
                refusals.append(Refusal(name, reason))
            else:
                stage.dump(update_pipeline=False)
    return refusals


def _outdated(known: PipelineStage | None, stage: PipelineStage, made: Mapping[str, Any]) -> str:
    """Say why a locked entry may not be rewritten; empty: it may, and holds the new code."""
    if known is None:
        return "the old code has no such stage"
    for dependency in known.deps:
        if _is_code(dependency) and dependency.changed_checksum():
            return f"it was not up to date with the old code: {dependency.def_path}"
    for dependency in stage.deps:
        path = dependency.def_path
        if dependency.hash_name == "params":
            if changed := dependency.status():
                names = [name for values in changed.values() for name in values]
                return f"parameters are others than in the lock: {', '.join(names)}"
        elif _is_code(dependency):
            dependency.save()
        elif path in made:
            # What it takes of another stage: known by what that one has made.
            if dependency.hash_info and dependency.hash_info != made[path].hash_info:
                return f"the lock holds another {path} than its stage has made"
            dependency.hash_info, dependency.meta = made[path].hash_info, made[path].meta
        elif not dependency.hash_info or dependency.changed_checksum():
            return f"{path} is another than in the lock"
    return ""


def _is_code(dependency: Any) -> bool:
    return str(dependency.def_path).startswith(CODE)


def _locks(root: Path) -> list[str]:
    found = [root / "dvc.lock", *root.glob("pipelines/*/dvc.lock")]
    return sorted(path.relative_to(root).as_posix() for path in found if path.is_file())


@contextmanager
def _old_code(root: Path, commit: str) -> Iterator[Path]:
    """A work tree of a commit, for as long as the block runs."""
    folder = root / WORK / "code"
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    _git(root, "worktree", "prune")
    _git(root, "worktree", "add", "--quiet", "--detach", "--force", str(folder), commit)
    try:
        yield folder
    finally:
        _git(root, "worktree", "remove", "--force", str(folder))


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, text=True, capture_output=True)
    if done.returncode:
        raise RnnpipeError(f"git {' '.join(arguments)} failed: {done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
