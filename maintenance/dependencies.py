"""``make deps``: write the code files that each stage executes into its ``deps``.

DVC hashes what a stage names, so a stage has to name all the code that can change what it writes, and
no more: else an old result is taken for a new one, or a picture's caption costs a training. What a
stage executes is followed through its imports, without running anything: from the stage's module, and
from the methods of its problem that it calls.
"""

import argparse
import ast
import difflib
import re
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import grimp
import yaml

from rnnpipe.storage.paths import paths_of, problem_names, stage_module

MARK = "# code, written by `make deps`"
# Left out: the command line, with the problems' own commands; errors, which no output holds;
# parameters, whose values DVC compares itself; where files lie, which dvc.yaml says once more; the
# seam that every problem fills in; and what stands around every stage: what ends it with its parent,
# looks whether its inputs stay, finds home and tells the encoding.
_LEFT_OUT = re.compile(
    r"rnnpipe(\.__main__|\.errors|\.config(\.(?!describe).*)?|\.problems|\.problems\.problem"
    r"|\.problems\.\w+\.(params|init|commands(\..*)?)|\.storage\.paths"
    r"|\.runtime\.(parent|home|arguments|encoding)|\.pipeline(\.(definition|inputs))?)?"
)
_FEWEST_OF_A_FOLDER = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Write all ``dvc.yaml`` files anew, or only say whether they are up to date."""
    parser = argparse.ArgumentParser(prog="python -m maintenance.dependencies", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if one is outdated")
    options = parser.parse_args(arguments)
    outdated = 0
    for path, text in generated(Path()).items():
        before = path.read_text(encoding="utf-8")
        if text != before:
            outdated += 1
            sys.stdout.writelines(
                difflib.unified_diff(
                    before.splitlines(True), text.splitlines(True), str(path), str(path), n=1
                )
            )
            if not options.check:
                path.write_text(text, encoding="utf-8")
    return int(options.check and outdated > 0)


def is_left_out(path: Path) -> bool:
    """Tell whether no stage names a module, by its path within the project."""
    module = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
    return bool(_LEFT_OUT.fullmatch(module)) or path.name == "__init__.py"


def generated(root: Path) -> dict[Path, str]:
    """Return what each ``dvc.yaml`` of a project has to say, by its path."""
    code = Code(root)
    found = {}
    for problem in problem_names():
        path = root / paths_of(problem).pipeline / "dvc.yaml"
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            for stage in yaml.safe_load(text)["stages"]:
                text = _with_code(text, stage, code.of_stage(problem, stage))
            found[path] = text
    return found


class Code:
    """The code of a project, and which of it a stage executes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._graph = grimp.build_graph("rnnpipe", exclude_type_checking_imports=True)

    def of_stage(self, problem: str, stage: str) -> list[str]:
        """Return the paths that a stage of a problem depends on; whole folders where all counts."""
        first = stage_module(problem, stage)
        seam = f"rnnpipe.problems.{problem}.problem"
        called = _called_on_problem(self._tree(first))
        begin = [first]
        if called:
            begin += [seam, *self._imported_by(seam, called)]
        modules = self._closure(begin)
        if "rnnpipe.config.describe" in modules:  # it shows what parameters mean
            modules.add(f"rnnpipe.problems.{problem}.params")
        files = {path for module in modules for path in self._files(module)}
        return sorted(path.as_posix() for path in self._folded(files))

    def _closure(self, begin: Sequence[str]) -> set[str]:
        found: set[str] = set()
        waiting = list(begin)
        while waiting:
            module = waiting.pop()
            if module in found or _LEFT_OUT.fullmatch(module):
                continue
            found.add(module)
            waiting.append(module.rpartition(".")[0])
            if re.fullmatch(r"rnnpipe\.problems\.\w+\.problem", module):
                waiting += self._imported_by(module, set())
            else:
                waiting += self._graph.find_modules_directly_imported_by(module)
        return found

    def _imported_by(self, module: str, methods: set[str]) -> list[str]:
        """What a problem's module imports at once, and within some of its methods."""
        blocks: list[ast.AST] = []
        for node in self._tree(module).body:
            if isinstance(node, ast.ClassDef):
                blocks += [
                    item
                    for item in node.body
                    if isinstance(item, ast.FunctionDef) and item.name in methods
                ]
            elif isinstance(node, ast.Import | ast.ImportFrom):
                blocks.append(node)
        names = {
            name
            for block in blocks
            for node in ast.walk(block)
            if isinstance(node, ast.ImportFrom) and node.module
            for name in (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))
        }
        return sorted(names & self._graph.modules)

    @cache  # noqa: B019  # the program ends with it
    def _tree(self, module: str) -> ast.Module:
        return ast.parse(self._path(module).read_text(encoding="utf-8"))

    def _path(self, module: str) -> Path:
        path = self.root.joinpath(*module.split("."))
        return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")

    def _files(self, module: str) -> Iterator[Path]:
        """The module's file, if it does anything, and the files beside it that it names."""
        path = self._path(module)
        if any(not isinstance(node, ast.Expr) for node in self._tree(module).body):
            yield path.relative_to(self.root)
        text = path.read_text(encoding="utf-8")
        for beside in path.parent.iterdir():
            if beside.is_file() and beside.suffix != ".py" and f'"{beside.name}"' in text:
                yield beside.relative_to(self.root)

    def _folded(self, files: set[Path]) -> set[Path]:
        """Folders in the place of their files, where every file of a folder is among them."""
        for folder in sorted({path.parent for path in files}, key=lambda path: -len(path.parts)):
            inside = {path for path in files if path.is_relative_to(folder)}
            there = {
                path.relative_to(self.root)
                for path in (self.root / folder).rglob("*")
                if path.is_file() and path.suffix != ".pyc" and not self._says_nothing(path)
            }
            if inside == there and len(inside) >= _FEWEST_OF_A_FOLDER:
                files = files - inside | {folder}
        return files

    def _says_nothing(self, path: Path) -> bool:
        if path.name != "__init__.py":
            return False
        body = ast.parse(path.read_text(encoding="utf-8")).body
        return all(isinstance(node, ast.Expr) for node in body)


def _called_on_problem(tree: ast.Module) -> set[str]:
    """What a stage asks of ``problem``, the value that it was handed."""
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "problem"
    }


def _with_code(text: str, stage: str, code: Sequence[str]) -> str:
    """Put the code of one stage into the text of a ``dvc.yaml``, behind its other dependencies."""
    match = re.search(rf"^  {stage}:\n(?:(?:    .*)?\n)*?    deps:\n((?:      .*\n)+)", text, re.M)
    if match is None:
        raise SystemExit(f"found no deps of the stage {stage}, expected a block `    deps:`")
    kept = [
        line
        for line in match.group(1).splitlines(True)
        if not line.startswith(("      - rnnpipe/", f"      {MARK}"))
    ]
    lines = [*kept, f"      {MARK}\n", *(f"      - {path}\n" for path in code)]
    return text[: match.start(1)] + "".join(lines) + text[match.end(1) :]


if __name__ == "__main__":
    sys.exit(main())
