"""The compiled kernel: kept whole and one's own, or made anew; a compiler that fails costs little."""

import contextlib
import os
import shutil
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rnnpipe.errors import RnnpipeError
from rnnpipe.networks.recurrent import fused, kernel

ASK = """
from rnnpipe.networks.recurrent import fused
from rnnpipe.networks.recurrent.layer import Recurrent
import numpy as np
print(fused.available())
print(float(np.sum(Recurrent("lstm", 4, False, "float32")(np.ones((2, 3, 4), np.float32), np.array([3, 2], np.int32)))) != 0)
"""

pytestmark = [
    pytest.mark.skipif(not fused.available(), reason="no C compiler, or a GPU, here"),
]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory) -> Path:
    """A library that this machine's compiler made, which takes it ten seconds."""
    path = tmp_path_factory.mktemp("compiled") / "fused.so"
    with kernel.library() as found:
        shutil.copy(found, path)
    return path


@pytest.fixture
def compiler(tmp_path, compiled, monkeypatch) -> Path:
    """A compiler that remembers what it made of these sources, as ccache does; it counts its work."""
    path = tmp_path / "compiler"
    path.write_text(
        "#!/bin/sh\n"
        'if [ "$1" = --version ]; then exec cc --version; fi\n'
        f'while [ "$1" != -o ]; do shift; done; cp {compiled} "$2"; echo >> {tmp_path}/compiled\n'
    )
    path.chmod(0o755)
    monkeypatch.setenv("CC", str(path))
    return path


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "rnnpipe"


def library() -> bytes:
    with kernel.library() as path:
        return Path(path).read_bytes()


def times(compiler: Path) -> int:
    """How often it was compiled."""
    counted = compiler.with_name("compiled")
    return len(counted.read_text()) if counted.exists() else 0


def kept(cache: Path) -> Path:
    (found,) = cache.iterdir()
    return found


def ask(**environment: str) -> "subprocess.CompletedProcess[str]":
    """Run the layer in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", ASK],
        env={name: value for name, value in {**os.environ, **environment}.items() if value},
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_it_is_compiled_once_for_this_user_alone(compiler, cache, compiled, caplog):
    before = os.umask(0)
    try:
        assert library() == library() == compiled.read_bytes()
    finally:
        os.umask(before)
    assert times(compiler) == 1
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert stat.S_IMODE(kept(cache).stat().st_mode) == 0o600
    assert not caplog.messages


DAMAGES = ["empty", "half", "page", "flipped", "zeros", "another's", "text", "folder", "pipe"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_not_what_was_compiled_is_made_anew(compiler, cache, compiled, caplog, damage):
    good = library()
    path = kept(cache)
    changed = {
        "empty": b"",
        "half": good[: len(good) // 2],
        "page": good[:4096],
        "flipped": good[:20_000] + bytes([good[20_000] ^ 1]) + good[20_001:],
        "zeros": bytes(len(good)),
        "another's": Path(sys.executable).read_bytes()[:100_000],
        "text": b"no library",
    }
    if damage in changed:
        path.write_bytes(changed[damage])
    else:
        path.unlink()
        path.mkdir() if damage == "folder" else os.mkfifo(path)
    assert library() == good
    assert library() == good
    assert times(compiler) == 2
    (said,) = caplog.messages
    assert "is not loaded" in said
    assert said.endswith("it is made anew")
    assert kept(cache).read_bytes() == good


def test_half_a_kernel_kills_no_run(compiler, cache):
    library()
    path = kept(cache)
    path.write_bytes(path.read_bytes()[:8192])
    done = ask()
    assert (done.returncode, done.stdout.split()) == (0, ["True", "True"]), done.stderr
    assert done.stderr.count("is made anew") == 1


def test_one_that_cannot_be_loaded_though_whole_is_made_anew(compiler, cache, compiled):
    # Kept under the hash of its bytes, as a compiler for another system would have had it kept.
    kernel._compile, real = (
        lambda words, made: made.write_bytes(b"of another system"),
        kernel._compile,
    )
    try:
        assert library() == b"of another system"
    finally:
        kernel._compile = real
    done = ask()
    assert (done.returncode, done.stdout.split()) == (0, ["True", "True"]), done.stderr
    assert done.stderr.count("is made anew") == 1


PLANTED = ["link", "others", "group", "foreign", "file", "below a file", "relative", "no home"]


@pytest.mark.parametrize("how", PLANTED)
def test_no_code_comes_from_a_folder_that_others_can_write(
    compiler, cache, compiled, monkeypatch, caplog, how
):
    library()
    kept(cache).write_bytes(b"planted")  # whoever loads it fails
    cache.parent.chmod(0o777)
    if how == "link":
        cache.rename(cache.with_name("elsewhere"))
        cache.symlink_to("elsewhere")
    elif how in ("others", "group"):
        cache.chmod(0o770 if how == "group" else 0o777)
    elif how == "foreign":
        if os.geteuid():
            pytest.skip("only root can make a folder another user's")
        os.chown(cache, 12345, -1)
    elif how in ("file", "below a file"):
        shutil.rmtree(cache if how == "file" else cache.parent)
        (cache if how == "file" else cache.parent).touch()
    else:
        monkeypatch.chdir(cache.parent.parent)
        monkeypatch.setenv("XDG_CACHE_HOME", "cache")
        monkeypatch.setenv("HOME", "" if how == "relative" else "/proc/no/home")
    assert library() == compiled.read_bytes()
    (said,) = caplog.messages
    assert "compiled for this process alone" in said
    assert "set XDG_CACHE_HOME to a folder of your own" in said


@pytest.mark.parametrize("how", ["link", "others", "group", "foreign"])
def test_a_planted_kernel_is_not_loaded_from_a_folder_of_one_s_own(
    compiler, cache, compiled, tmp_path, how
):
    library()
    path = kept(cache)
    if how == "link":
        path.rename(tmp_path / "elsewhere.so")
        path.symlink_to(tmp_path / "elsewhere.so")
    elif how == "foreign":
        if os.geteuid():
            pytest.skip("only root can make a file another user's")
        os.chown(path, 12345, -1)
    else:
        path.chmod(0o620 if how == "group" else 0o602)
    assert library() == compiled.read_bytes()
    assert times(compiler) == 2
    assert not kept(cache).is_symlink()


def test_several_may_compile_at_once(compiler, cache, compiled):
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda _: library(), range(6)))
    assert set(made) == {compiled.read_bytes()}
    assert library() == compiled.read_bytes()
    assert kept(cache)


BAD_COMPILERS = {
    "hangs": "exec sleep 600",
    "hangs with children": "sleep 600 & sleep 600 & wait",
    "hangs in compiling": '[ "$1" = --version ] && exec cc --version; sleep 600 & wait',
    "prints for ever": "exec yes 'error: never mind'",
    "prints megabytes and fails": "head -c 3000000 /dev/zero | tr '\\0' x; exit 1",
    "prints bytes that are no text": "printf '\\377\\033[2J'; exit 1",
    "makes nothing": "echo 1.0",
    # Only what follows -o: the other arguments are TensorFlow's own files.
    "makes an empty file": 'while [ $# -gt 1 ] && [ "$1" != -o ]; do shift; done;'
    ' if [ "$1" = -o ]; then : > "$2"; fi',
    "asks": "read answer && exit 0; exit 1",
    "dies": "kill -9 $$",
}


@pytest.mark.parametrize("how", BAD_COMPILERS)
def test_a_compiler_that_does_not_do_its_work_is_an_error_of_bounded_size(
    cache, tmp_path, monkeypatch, how
):
    monkeypatch.setattr(kernel, "VERSION_SECONDS", 0.5)
    monkeypatch.setattr(kernel, "COMPILE_SECONDS", 0.5)
    path = tmp_path / "compiler"
    path.write_text(f"#!/bin/sh\n{BAD_COMPILERS[how]}\n")
    path.chmod(0o755)
    monkeypatch.setenv("CC", str(path))
    with pytest.raises(RnnpipeError) as failed:
        library()
    assert len(str(failed.value)) < 1000
    assert "\x1b" not in str(failed.value)
    assert not list(cache.iterdir() if cache.exists() else ())


@pytest.mark.parametrize("text", ['gcc "', "'", " ", "/", "/no/compiler", "a" * 5000, "\udcff"])
def test_a_cc_that_is_no_command_is_an_error_in_a_sentence(cache, monkeypatch, text):
    monkeypatch.setenv("CC", text)
    with pytest.raises(RnnpipeError) as failed:
        library()
    assert len(str(failed.value)) < 6000


def test_an_empty_cc_is_none(cache, compiler, monkeypatch):
    monkeypatch.setenv("CC", "")
    assert kernel._compiler() == ["cc"]


def test_other_flags_in_cc_make_another_kernel(compiler):
    keys = {kernel._key([*words, str(compiler)]) for words in ([], ["env"])}
    assert len(keys) == 2


def test_slow_layers_come_with_one_warning_that_says_what_to_do(tmp_path):
    done = ask(CC='gcc "', HOME="", XDG_CACHE_HOME=str(tmp_path))
    assert (done.returncode, done.stdout.split()) == (0, ["False", "True"]), done.stderr
    assert done.stderr.count("several times slower") == 1
    assert done.stderr.count("CC is 'gcc \"', expected a command") == 1
    assert "Traceback" not in done.stderr


def test_a_full_disk_costs_the_kept_kernel_alone(compiler, cache, compiled, monkeypatch, caplog):
    @contextlib.contextmanager
    def full(path):
        raise OSError(28, "No space left on device")
        yield path

    monkeypatch.setattr(kernel, "atomic_file", full)
    assert library() == compiled.read_bytes()
    (said,) = caplog.messages
    assert "No space left on device" in said


def test_keras_comes_lean_without_anybodys_settings_and_with_slow_layers_if_asked(tmp_path):
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text('{"floatx": "float64", "epsilon": 0.5}')
    code = (
        "import sys; from rnnpipe.networks.backend import keras;"
        "print({'matplotlib', 'sklearn', 'pandas'} & set(sys.modules));"
        "from rnnpipe.networks.recurrent import fused;"
        "print(keras.config.floatx(), keras.config.epsilon(), keras.config.backend(),"
        " fused.available())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "HOME": str(tmp_path), "KERAS_BACKEND": "torch", "RNNPIPE_FUSED": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["set()", "float32", "1e-07", "tensorflow", "False"]
    assert "several times slower" not in done.stderr
