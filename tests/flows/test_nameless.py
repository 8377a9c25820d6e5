"""Commands of users without a home folder or a name, as in many a container."""

import os
import subprocess
import sys

import pytest
from projects import ROOT

HOME_AND_NAMES = ("HOME", "LOGNAME", "USER", "LNAME", "USERNAME")

# As python -m runs it, for a user id that no list knows.
NAMELESS = """
import pwd, runpy, sys

def unknown(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")

pwd.getpwuid = unknown
sys.argv.pop(0)
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(
    ("module", "arguments", "says"),
    [
        ("rnnpipe", ("predict", "good", "--model", "no/model"), "rnnpipe: "),
        ("flows.search", ("show", "nothing"), "rnnpipe: there is no search nothing"),
        ("flows.run", ("--set", "x"), "expected PARAMETER=VALUE"),
    ],
)
def test_commands_need_neither(tmp_path, module, arguments, says):
    kept = {name: value for name, value in os.environ.items() if name not in HOME_AND_NAMES}
    done = subprocess.run(
        [sys.executable, "-c", NAMELESS, module, *arguments],
        env={**kept, "PYTHONPATH": str(ROOT), "PREFECT_HOME": str(tmp_path / "prefect")},
        cwd=ROOT,
        text=True,
        capture_output=True,
    )
    assert says in done.stderr
    assert "Traceback" not in done.stderr
