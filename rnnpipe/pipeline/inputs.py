"""What a stage reads, as it stood when the stage began.

DVC hashes a stage's parameters, data and code after the stage has ended. What changed while it ran
would be recorded as what the result came from, and ``dvc status`` would call it up to date.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnpipe.config.load import read_values
from rnnpipe.errors import InputsError, ParameterError, quoted
from rnnpipe.pipeline.definition import named_files, stages_of, value_at
from rnnpipe.storage.files import sha256_file

# Of these bytes hashes are taken before the stage, smallest files first; beyond them a file that
# was merely touched counts as changed. A second's work at the most.
_HASHED_BYTES = 512 << 20

Identity = tuple[int, int, int, int]  # device, inode, bytes, time of the last change in ns


@dataclass(frozen=True)
class Inputs:
    """Parameters and files of one stage, as they stood.

    Attributes:
        file: the parameter file.
        params: values of the keys that ``dvc.yaml`` names for the stage, by dotted name.
        files: who each file of the stage's ``deps`` is, those of folders one by one.
        hashes: SHA-256 of each of them, in hex, where it was not too large.
    """

    file: Path
    params: Mapping[str, Any]
    files: Mapping[Path, Identity]
    hashes: Mapping[Path, str]

    @classmethod
    def of(cls, stage: str, problem: str, file: Path) -> "Inputs":
        """Take down what a stage is about to read.

        Args:
            stage: its name.
            problem: the problem whose ``dvc.yaml`` names its inputs; without one nothing is taken
                down, since nothing is recorded of it either.
            file: the parameter file.
        """
        params, files = _as_they_stand(stage, problem, file)
        hashes: dict[Path, str] = {}
        left = _HASHED_BYTES
        for path, (_, _, size, _) in sorted(files.items(), key=lambda item: item[1][2]):
            left -= size
            if left < 0:
                break
            hashes[path] = sha256_file(path)
        return cls(file, params, files, hashes)

    def require_unchanged(self, stage: str, problem: str) -> None:
        """Refuse the result of a stage whose inputs are not those any more that it read.

        Raises:
            InputsError: names what changed.
        """
        try:
            params, files = _as_they_stand(stage, problem, self.file)
            changed = [key for key in self.params if self.params[key] != params.get(key)]
            changed += [
                str(path) for path in self.files if self._has_changed(path, files.get(path))
            ]
            changed += [str(path) for path in files if path not in self.files]
        except (ParameterError, OSError) as error:
            raise InputsError(
                f"{stage}: what it read cannot be read any more ({error}): its result is not kept;"
                " mend that and run dvc repro again"
            ) from None
        if changed:
            more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
            named = ", ".join(quoted(name) for name in changed[:3])
            raise InputsError(
                f"{stage}: found {named}{more} changed while it ran, expected inputs that stay until"
                " a stage has ended: its result is not kept; run dvc repro again"
            )

    def _has_changed(self, path: Path, now: Identity | None) -> bool:
        if now is None or now == self.files[path]:
            return now is None
        return self.hashes.get(path) != sha256_file(path)  # touched, or written anew


def _as_they_stand(
    stage: str, problem: str, file: Path
) -> tuple[Mapping[str, Any], Mapping[Path, Identity]]:
    """Return a stage's parameters and who its files are, now."""
    values = read_values(file)
    entry = stages_of(problem).get(stage, {})
    keys = [key for part in entry.get("params", ()) for key in _keys(part)]
    files = {path: _identity(path) for path in named_files(entry.get("deps", ()), values)}
    return {key: value_at(values, key) for key in keys}, files


def _keys(part: str | Mapping[str, Any]) -> Iterator[str]:
    """Yield the keys of one entry of ``params``: a key, or a file's name with its keys."""
    if isinstance(part, str):
        yield part
    else:
        for keys in part.values():
            yield from keys or ()


def _identity(path: Path) -> Identity:
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
