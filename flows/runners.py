"""Where the tasks of a flow run: in threads of its own process, or on the workers of a cluster."""

from typing import Any, Literal, get_args

from flows.serving.own_server import HOST
from rnnpipe.errors import ParameterError

Runner = Literal["threads", "dask", "ray"]
RUNNERS: tuple[Runner, ...] = get_args(Runner)


def task_runner(name: Runner, at_once: int, address: str | None = None) -> Any:
    """Make a task runner of Prefect's.

    Args:
        name: threads; dask (the scheduler at ``address``, else a cluster of processes on this
            machine that ends with the flow); or ray (likewise).
        at_once: tasks that run at the same time, on a cluster of one's own.
        address: of a cluster that is up, such as ``tcp://127.0.0.1:8786``. Its workers must see
            the project's folder under the same path, and reach Prefect's server.

    Raises:
        ParameterError: an address is given for threads, or prefect-ray is not installed.
    """
    if name == "threads":
        if address:
            raise ParameterError(f"found the address {address!r}, but threads need none")
        from prefect.task_runners import ThreadPoolTaskRunner

        return ThreadPoolTaskRunner(max_workers=at_once)
    if name == "dask":
        from prefect_dask import DaskTaskRunner

        if address:
            return DaskTaskRunner(address=address)
        return DaskTaskRunner(
            cluster_kwargs={
                "n_workers": at_once,
                "threads_per_worker": 1,
                "host": HOST,
                "dashboard_address": None,
                # Every user of the machine reaches loopback: only who has the keys, which this
                # process makes for its own workers, may give them work.
                "security": True,
            }
        )
    try:
        from prefect_ray import RayTaskRunner
    except ImportError:
        raise ParameterError(
            "prefect-ray is not installed: pip install 'prefect-ray>=0.6,<0.7'"
        ) from None
    if address:
        return RayTaskRunner(address=address)
    # Each task counts as one CPU of Ray's.
    return RayTaskRunner(init_kwargs={"num_cpus": at_once, "include_dashboard": False})
