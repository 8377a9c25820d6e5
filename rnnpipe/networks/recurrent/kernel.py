"""The C code of the fused layer as a library: compiled once a machine, kept, and verified when loaded.

The user's cache holds ``fused-KEY-HASH.so``: KEY of all that decides what the compiler makes, HASH of
what it made. What does not have its hash, half a file or another machine's, is made anew. Code comes only
out of a folder and a file that no other user can write.
"""

import contextlib
import hashlib
import logging
import os
import platform
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rnnpipe.errors import RnnpipeError
from rnnpipe.networks.backend import tf
from rnnpipe.runtime.child import ask
from rnnpipe.runtime.private import NotPrivateError, open_own_file, open_own_folder
from rnnpipe.storage.files import atomic_file

VERSION_SECONDS = 20.0  # for the compiler to say its version
COMPILE_SECONDS = 180.0  # for it to compile, which takes some ten

_SOURCES = ("fused.c", "products.h", "sequence.h")
_FLAGS = ("-O3", "-march=native", "-std=gnu11", "-fPIC", "-shared", "-pthread")
_LIBRARIES = ("libtensorflow_cc.so.2", "libtensorflow_framework.so.2")
_MOST_BYTES = 1 << 26  # of a library, which has some 50,000

_log = logging.getLogger(__name__)


class KernelError(RnnpipeError):
    """There is no library to load, and none can be made."""


def sources() -> list[Path]:
    """Name the files that the operation is compiled from; the first includes the others."""
    return [Path(__file__).parent / name for name in _SOURCES]


@contextlib.contextmanager
def library(*, anew: bool = False) -> Iterator[str]:
    """Yield the path of a library for this processor, this TensorFlow and these sources.

    What is loaded from it within the block stays loaded.

    Args:
        anew: compile it although there is one, and yield it from another place.

    Raises:
        RnnpipeError: there is no compiler, or it refused, or gave no answer in time.
        OSError: nothing can be written.
    """
    compiler = _compiler()
    key = _key(compiler)
    with contextlib.ExitStack() as stack:
        cache, refused = _open_cache(stack)
        if cache and not anew and (found := cache.find(key, stack)):
            yield found
            return
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rnnpipe-kernel-")))
        made = folder / "fused.so"
        _compile(compiler, made)
        if cache:
            try:
                cache.keep(key, made)
            except OSError as error:
                refused = f"{cache.path} cannot be written ({error.strerror or error})"
            if anew:
                yield str(made)  # where the cache lies, code may not be loaded at all
                return
            if found := cache.find(key, stack):
                yield found
                return
        _log.warning(
            "the fused layer was compiled for this process alone: %s; set XDG_CACHE_HOME to a folder"
            " of your own to keep it",
            refused or "what was kept is not what was compiled",
        )
        yield str(made)


class _Cache:
    """A folder of libraries that no other user can write."""

    def __init__(self, path: Path, folder: int) -> None:
        self.path, self._folder = path, folder

    def find(self, key: str, stack: contextlib.ExitStack) -> str | None:
        """Return a path to a library that has its hash; what has not is removed.

        The path leads to what was verified, whatever becomes of its name.
        """
        for name in sorted(path.name for path in self.path.glob(f"fused-{key}-*.so")):
            hashed = name.removesuffix(".so").rpartition("-")[2]
            try:
                file = open_own_file(Path(name), self._folder)
                stack.callback(os.close, file)
                if os.fstat(file).st_size > _MOST_BYTES:
                    raise NotPrivateError("it is too large")
                with os.fdopen(os.dup(file), "rb") as content:
                    if hashlib.sha256(content.read()).hexdigest() != hashed:
                        raise NotPrivateError("its bytes are not those that were compiled")
            except (NotPrivateError, OSError) as error:
                _log.warning("%s is not loaded: %s; it is made anew", self.path / name, error)
                _remove(self.path / name)
                continue
            opened = f"/proc/self/fd/{file}"
            return opened if Path(opened).exists() else str(self.path / name)
        return None

    def keep(self, key: str, made: Path) -> None:
        """Keep a library under the hash of its bytes."""
        content = made.read_bytes()
        target = self.path / f"fused-{key}-{hashlib.sha256(content).hexdigest()}.so"
        with atomic_file(target) as partial:
            partial.touch(0o600)
            partial.chmod(0o600)
            partial.write_bytes(content)


def _open_cache(stack: contextlib.ExitStack) -> tuple[_Cache | None, str | None]:
    """Return the cache, closed with the stack; else None and why there is none."""
    above = os.environ.get("XDG_CACHE_HOME", "")
    if not Path(above).is_absolute():  # which its specification has ignored
        home = Path(os.path.expanduser("~"))  # noqa: PTH111, as it is where there is none
        if not home.is_absolute() or home == Path(home.anchor):
            return None, "this user has no home"
        above = str(home / ".cache")
    path = Path(above) / "rnnpipe"
    try:
        folder = open_own_folder(path)
    except (NotPrivateError, OSError) as error:
        return None, str(error)
    stack.callback(os.close, folder)
    return _Cache(path, folder), None


def _compiler() -> list[str]:
    text = os.environ.get("CC") or "cc"
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise KernelError(f"CC is {text!r}, expected a command ({error})") from None
    if not words:
        raise KernelError(f"CC is {text!r}, expected a command")
    return words


def _key(compiler: list[str]) -> str:
    """Name all that decides what the compiler makes, and where that runs."""
    key = hashlib.sha256(b"".join(source.read_bytes() for source in sources()))
    for part in (
        *_FLAGS,
        *compiler,
        ask([*compiler, "--version"], VERSION_SECONDS),
        tf.__version__,
        tf.version.GIT_VERSION,
        tf.version.COMPILER_VERSION,
        str(_tensorflow()),
        *platform.libc_ver(),
        platform.machine(),
        _processor(),
    ):
        key.update(os.fsencode(part) + b"\0")
    return key.hexdigest()[:32]


def _compile(compiler: list[str], made: Path) -> None:
    command = [*compiler, *_FLAGS, f"-I{_tensorflow() / 'include'}", str(sources()[0])]
    command += [str(_tensorflow() / name) for name in _LIBRARIES]
    # Last: a wrapper that takes its last argument for the output must not hit a library.
    ask([*command, "-o", str(made)], COMPILE_SECONDS)
    if not made.is_file() or not made.stat().st_size:
        raise KernelError(f"{compiler[0]!r} made nothing, expected a library")


def _tensorflow() -> Path:
    return Path(tf.sysconfig.get_include()).parent


def _processor() -> str:
    """Name what ``-march=native`` depends on: a cache may be shared by unlike machines."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return platform.processor() or platform.machine()
    lines = cpuinfo.read_text().split("\n\n")[0].splitlines()
    return "\n".join(line for line in lines if line.startswith(("model", "flags", "Features")))


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
