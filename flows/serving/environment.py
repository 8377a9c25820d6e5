"""What server and worker run in: one folder of state, loopback, a password."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from flows.serving import access
from flows.serving.own_server import HOST
from flows.serving.pages import PAGES_VARIABLE

STATE = Path(".rnnpipe") / "prefect"
PORT = 4200
POOL = "local"
MARK = "RNNPIPE_UP"
REFUSED_EVENT = "rnnpipe.model.refused"  # emitted by the flow when the gate says no
RETENTION_SECONDS = 90 * 24 * 3600  # of finished runs, their logs and artifacts


def environment(project: Path, port: int, outer: Mapping[str, str]) -> dict[str, str]:
    """The environment of every process: Prefect's settings, in place of all that stood there.

    Args:
        project: the project's folder, absolute; runs begin there.
        port: the server's, on the loopback interface.
        outer: the environment to build on; ``RNNPIPE_UI_PASSWORD`` in it is the password, else the
            one that is kept in the project's state.
    """
    state = project / STATE
    # Another server's address or key, a profile, a database: none of it may leak in.
    kept = {
        name: value
        for name, value in outer.items()
        if not name.startswith("PREFECT_") or name.startswith("PREFECT_LOGGING_")
    }
    origins = ",".join(f"http://{name}:{port}" for name in (HOST, "localhost"))
    own = {
        MARK: str(state),
        "RNNPIPE_PROJECT": str(project),
        PAGES_VARIABLE: f"http://{HOST}:{port + 1}",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), outer.get("PATH", os.defpath)]),
        "PYTHONUNBUFFERED": "1",
        "DO_NOT_TRACK": "1",
        "NO_PROXY": ",".join(filter(None, [outer.get("NO_PROXY"), HOST, "localhost"])),
        "no_proxy": ",".join(filter(None, [outer.get("no_proxy"), HOST, "localhost"])),
        "PREFECT_HOME": str(state),
        "PREFECT_API_URL": f"http://{HOST}:{port}/api",
        "PREFECT_SERVER_API_HOST": HOST,
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": origins,
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(RETENTION_SECONDS),
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        # Seconds between its looks for work: who asks for a run does not wait for the default, ten.
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_CLI_COLORS": "false",
        "PREFECT_CLI_WRAP_LINES": "false",
        # Not by job variables: the pool takes none (flows.serving.server).
        "PREFECT_LOGGING_EXTRA_LOGGERS": ",".join(
            filter(None, [outer.get("PREFECT_LOGGING_EXTRA_LOGGERS"), "rnnpipe"])
        ),
    }
    if credentials := access.found(state, outer):
        own["PREFECT_SERVER_API_AUTH_STRING"] = credentials
        own["PREFECT_API_AUTH_STRING"] = credentials
        own[PAGES_VARIABLE] += f"/{access.pages_key(credentials)}"
    return kept | own
