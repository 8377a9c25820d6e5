"""How memory and time grow with the corpus: ``python -m benchmarks.growth``.

IMDB once, three times and ten times over goes from prepare to train (one epoch, no distillation),
each stage a process of its own in a copy of the project. Every copy of a review ends in a sentence
that no other has, so that none is a duplicate; it is made of everyday words, so that the copies
bring no new ones. The films of each copy are its own, so that validation keeps its share.

``--to STAGE`` ends with that stage, after a change to it: the stages behind keep the figures that the
report has of the same machine.
"""

import argparse
import gzip
import hashlib
import io
import multiprocessing
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from benchmarks import machine
from rnnpipe.commands.project_copy import ProjectCopy, copy_project
from rnnpipe.errors import RnnpipeError, SourceError
from rnnpipe.storage.files import read_json, write_json

REPORT = Path("reports/growth.json")
CARD = Path("data/imdb.json")
FACTORS = (1, 3, 10)
FIRST, LAST = "prepare", "train"
MAX_MEMORY, MAX_TIME = 1.3, 12  # times that of the smallest, at the largest

_REVIEW = re.compile(r"aclImdb/((train|test)/(pos|neg|unsup)/)([0-9]+)(_[0-9]+\.txt)")
_URLS = re.compile(r"aclImdb/(train|test)/urls_(pos|neg|unsup)\.txt")
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def find_archive() -> Path:
    """Find the archive of the reviews: in ``RNNPIPE_MIRROR``, a folder, else in ``data/raw``."""
    from rnnpipe.storage.card import read_card

    folder = os.environ.get("RNNPIPE_MIRROR", "data/raw")
    archive = Path(folder) / read_card(CARD).file_name
    if not archive.is_file():
        raise SourceError(
            f"{archive} is not here: set RNNPIPE_MIRROR to the folder that holds it, or run"
            " `dvc repro download`"
        )
    return archive


def stages() -> list[str]:
    """Name the stages that are measured, in the order of ``dvc.yaml``."""
    names = list(yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"])
    return names[names.index(FIRST) : names.index(LAST) + 1]


def write_copies(source: Path, out: Path, card: Path, factor: int) -> None:
    """Write an archive that holds every review several times, and its card.

    Args:
        source: an archive in the IMDB layout.
        out: the archive to write, a ``.tar.gz``.
        card: the description of ``out``, as a source of the download stage.
        factor: copies of each review.
    """
    from rnnpipe.problems.classification.reviews import content_digest
    from rnnpipe.storage.card import Card

    with tarfile.open(source) as tar:
        lists = {
            member.name: tar.extractfile(member).read().splitlines(keepends=True)  # type: ignore[union-attr]
            for member in tar
            if _URLS.fullmatch(member.name)
        }
    shas = []
    with (
        gzip.GzipFile(out, "wb", compresslevel=1, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name, lines in lists.items():
            _add(tar, name, b"".join(_films(lines, factor)))
        for path, content in _copies(source, lists, factor):
            _add(tar, f"aclImdb/{path}", content)
            shas.append((path, hashlib.sha256(content).digest()))
    described = Card(
        name=f"IMDB, {factor} times over",
        kind="archive",
        address=str(out),
        file_name=out.name,
        bytes=out.stat().st_size,
        md5="0" * 32,  # nothing is downloaded
        content_digest=content_digest(shas),
        reviews=len(shas),
        citation="Written by benchmarks/growth.py.",
    )
    write_json(card, described.content)


def _films(lines: list[bytes], factor: int) -> Iterator[bytes]:
    for copy in range(factor):
        for line in lines:
            yield re.sub(rb"tt(?=[0-9])", b"tt%d" % copy, line, count=1) if copy else line


def _copies(
    source: Path, lists: dict[str, list[bytes]], factor: int
) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(source) as tar:
        for member in tar:
            tar.members.clear()  # type: ignore[attr-defined]  # it remembers every one
            found = _REVIEW.fullmatch(member.name)
            if found is None:
                continue
            folder, part, kind, number, rest = found.groups()
            text = tar.extractfile(member).read()  # type: ignore[union-attr]
            films = len(lists[f"aclImdb/{part}/urls_{kind}.txt"])
            for copy in range(factor):
                own = f"{part} {kind} {_spelt(copy)} times {_spelt(int(number))}"
                sentence = f" This is what they said : {own} ."
                yield f"{folder}{int(number) + copy * films}{rest}", text + sentence.encode()


def _spelt(number: int) -> str:
    return " ".join(_DIGITS[int(digit)] for digit in str(number))


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def run_stage(sandbox: ProjectCopy, stage: str) -> dict[str, float]:
    """Run one stage to its end and return its seconds and its peak memory in MB.

    Raises:
        RnnpipeError: it failed; the message holds its last lines.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        started = time.monotonic()
        child = subprocess.Popen(
            [sys.executable, "-m", "rnnpipe", stage],
            cwd=sandbox.folder,
            env=dict(sandbox.environment),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - started
        if child.returncode:
            output.seek(0)
            last = "".join(output.readlines()[-15:])
            raise RnnpipeError(f"{stage} ended with {child.returncode}:\n{last}")
    return {
        "seconds": round(seconds, 1),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "memory_mb": round(usage.ru_maxrss / 1024),
    }


def measure(sandbox: ProjectCopy, archive: Path, factor: int, names: list[str]) -> dict[str, Any]:
    """Measure all stages on a corpus that is so many times as large."""
    raw = sandbox.folder / "data" / "raw"
    raw.mkdir(exist_ok=True)
    for before in raw.iterdir():
        before.unlink()
    card = sandbox.folder / "data" / "growth.json"
    # By a process of its own: a child's peak counts from that of the process that started it.
    writer = multiprocessing.get_context("spawn").Process(
        target=write_copies, args=(archive, raw / "growth.tar.gz", card, factor)
    )
    writer.start()
    writer.join()
    if writer.exitcode:
        raise RnnpipeError(f"the corpus of factor {factor} could not be written")
    row: dict[str, Any] = {"factor": factor, "stages": {}}
    row["reviews"] = yaml.safe_load(card.read_text(encoding="utf-8"))["reviews"]
    for name in names:
        row["stages"][name] = run_stage(sandbox, name)
        print(f"{factor:>3} x  {name:20} {row['stages'][name]}", flush=True)
    return summed(row)


def summed(row: dict[str, Any]) -> dict[str, Any]:
    """A row with what its stages come to together."""
    stages = row["stages"].values()
    return {
        **row,
        "peak_memory_mb": max(stage["memory_mb"] for stage in stages),
        **{
            clock: round(sum(stage[clock] for stage in stages), 1)
            for clock in ("seconds", "cpu_seconds")
        },
    }


def keep(rows: list[dict[str, Any]], report: Path = REPORT) -> None:
    """Write rows into a report; what they lack of its last stages stays as it was.

    Raises:
        RnnpipeError: what would stay is of another machine, or not there.
    """
    here = machine.describe()
    if LAST not in rows[0]["stages"]:
        before = read_json(report) if report.is_file() else {"machine": None}
        if before["machine"] != here:
            raise RnnpipeError(f"{report} holds no figures of this machine: measure all stages")
        known = {row["factor"]: row["stages"] for row in before["rows"]}
        rows = [
            summed({**row, "stages": {**known[row["factor"]], **row["stages"]}}) for row in rows
        ]
    limits = {"memory": MAX_MEMORY, "time": MAX_TIME}
    write_json(report, {"machine": here, "limits": limits, "rows": rows})


def show(rows: list[dict[str, Any]]) -> None:
    """Print memory and seconds of each stage, and how many times those of the smallest corpus."""
    first = rows[0]
    print("\n" + f"{'MB (times), s (times)':22}" + "".join(f"{r['reviews']:>28,}" for r in rows))
    for name in first["stages"]:
        cells = [(row["stages"][name], first["stages"][name]) for row in rows]
        print(f"{name:22}" + "".join(_cell(*pair, "memory_mb") for pair in cells))
    print(f"{'all':22}" + "".join(_cell(row, first, "peak_memory_mb") for row in rows))


def _cell(now: dict[str, Any], first: dict[str, Any], memory: str) -> str:
    megabytes, seconds = now[memory], now["seconds"]
    cell = (
        f"{megabytes} ({megabytes / first[memory]:.2f}),"
        f" {seconds:.0f} ({seconds / first['seconds']:.1f})"
    )
    return f"{cell:>28}"


def main(arguments: list[str] | None = None) -> None:
    """Measure, show, keep."""
    names = stages()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])  # type: ignore[union-attr]
    parser.add_argument("--to", choices=names, default=LAST, help=f"last stage (default: {LAST})")
    names = names[: names.index(parser.parse_args(arguments).to) + 1]
    archive, rows = find_archive().resolve(), []
    with tempfile.TemporaryDirectory(prefix="rnnpipe-growth-") as folder:
        sandbox = copy_project(Path(), Path(folder) / "project", share_cache=False)
        path = sandbox.folder / "params.yaml"
        params = yaml.safe_load(path.read_text(encoding="utf-8"))
        params["download"]["source"] = "data/growth.json"
        params["train"] |= {"epochs": 1, "distillation": False}
        path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
        sandbox.commit("Begin")  # the training's log asks for a commit
        for factor in FACTORS:
            rows.append(measure(sandbox, archive, factor, names))
    show(rows)
    keep(rows)


if __name__ == "__main__":
    main()
