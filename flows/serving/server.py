"""What a running Prefect server is told and asked: pool, automations, runs that were cut off.

Needs the environment that ``flows.serving.up`` makes; it must stand before this module is imported,
because Prefect reads its settings once.
"""

from datetime import datetime, timedelta
from typing import Any

import httpx
import yaml
from prefect.automations import Automation
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.events.actions import CallWebhook, ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound, PrefectException
from prefect.states import Cancelled, Cancelling, Crashed
from prefect.types import SecretDict
from prefect.workers.process import ProcessWorker
from pydantic import SecretStr

from flows.serving.environment import REFUSED_EVENT

# What a call of this module ends with when the server does not do as told.
ERRORS = (httpx.HTTPError, PrefectException)
SILENCE_SECONDS = 90  # three heartbeats missed
WEBHOOK_BLOCK = "rnnpipe-webhook"

_HEARTBEAT = "prefect.flow-run.heartbeat"
_ACTIVE = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)
_ANY_RUN = {"prefect.resource.id": "prefect.flow-run.*"}


def _client() -> SyncPrefectClient:
    return get_client(httpx_settings={"timeout": 10.0}, sync_client=True)


# A run's command, environment and folder are the worker's: no job variable has a place in them.
# Prefect's own template would take each. Known is what prefect.yaml says for other pools, and only
# that; the worker's environment holds the same. Prefect refuses all else.
_TEMPLATE: dict[str, Any] = {
    "job_configuration": {"stream_output": True},
    "variables": {
        "type": "object",
        "properties": {
            "env": {
                "type": "object",
                "properties": {"PREFECT_LOGGING_EXTRA_LOGGERS": {"const": "rnnpipe"}},
                "additionalProperties": False,
            }
        },
        "additionalProperties": False,
    },
}


def ensure_pool(name: str) -> None:
    """Make the work pool for processes of this machine, or bring it up to date."""
    with _client() as client:
        try:
            client.create_work_pool(
                WorkPoolCreate(
                    name=name,
                    type=ProcessWorker.type,
                    description="Processes on this machine, started by `make ui`",
                    base_job_template=_TEMPLATE,
                )
            )
        except ObjectAlreadyExists:
            client.update_work_pool(name, WorkPoolUpdate(base_job_template=_TEMPLATE))


def worker_is_ready(pool: str, worker: str, since: datetime) -> bool:
    """Tell whether the worker of this name has reported to the pool since a time.

    An earlier one of that name counts as online for a while after its end.
    """
    with _client() as client:
        try:
            workers = client.read_workers_for_work_pool(pool)
        except ObjectNotFound:
            return False
    return any(
        found.name == worker and found.last_heartbeat_time and found.last_heartbeat_time > since
        for found in workers
    )


def missing_deployments(prefect_yaml: str) -> list[str]:
    """Names of the deployments in the text of a ``prefect.yaml`` that the server does not know."""
    wanted = [deployment["name"] for deployment in yaml.safe_load(prefect_yaml)["deployments"]]
    with _client() as client:
        known = {deployment.name for deployment in client.read_deployments()}
    return [name for name in wanted if name not in known]


def has_active_schedule() -> bool:
    """Tell whether any deployment is to run by itself."""
    with _client() as client:
        deployments = client.read_deployments()
    return any(
        schedule.active
        for deployment in deployments
        if not deployment.paused
        for schedule in deployment.schedules
    )


def next_run(now: datetime) -> tuple[str, datetime] | None:
    """Deployment and time of the next run that a schedule has made, or None.

    Args:
        now: what counts as the present, with a time zone.
    """
    with _client() as client:
        found = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
                expected_start_time=FlowRunFilterExpectedStartTime(after_=now),
            ),
            sort=FlowRunSort.EXPECTED_START_TIME_ASC,
            limit=20,
        )
        for run in found:
            if run.auto_scheduled and run.deployment_id and run.expected_start_time:
                deployment = client.read_deployment(run.deployment_id)
                return deployment.name, run.expected_start_time
    return None


def cancel_runs(pool: str) -> int:
    """Ask for the end of every run at work in the pool and return how many there are.

    The worker, as long as it lives, ends their processes.
    """
    runs = _active_runs(pool)
    with _client() as client:
        for run in runs:
            if run.state_type != StateType.CANCELLING:
                client.set_flow_run_state(run.id, Cancelling(message="`make ui` is being stopped"))
    return len(runs)


def settle_runs(pool: str, message: str) -> list[str]:
    """Close every run of the pool that claims to be at work, and return their names.

    Only for when no process of theirs can be alive: it frees the deployment's slot at once
    instead of after the silence that the automation waits for.
    """
    runs = _active_runs(pool)
    with _client() as client:
        for run in runs:
            ended = Cancelled if run.state_type == StateType.CANCELLING else Crashed
            client.set_flow_run_state(run.id, ended(message=message))
    return [run.name for run in runs]


def _active_runs(pool: str) -> list[Any]:
    with _client() as client:
        return client.read_flow_runs(
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(_ACTIVE)))
            ),
        )


def ensure_automations(webhook: str | None) -> None:
    """Make the automations, or bring them up to date; without an address none that calls one.

    An automation that somebody has switched off stays off.

    Args:
        webhook: address that is told of failed runs and refused models.
    """
    wanted = [silent_run_crashes()]
    if webhook:
        block = Webhook(
            url=SecretStr(webhook),
            headers=SecretDict({"Content-Type": "application/json"}),
        )
        address = block.save(WEBHOOK_BLOCK, overwrite=True)
        wanted += [tell_of_failure(address), tell_of_refusal(address)]
    else:
        _delete_automations(_FAILURE, _REFUSAL)
    with _client() as client:
        for automation in wanted:
            # Prefect's own server refuses an owner in an update, even an empty one.
            core = AutomationCore(**automation.model_dump(exclude={"id", "owner_resource"}))
            if known := client.read_automations_by_name(automation.name):
                core.enabled = known[0].enabled
                client.update_automation(known[0].id, core)
            else:
                client.create_automation(core)


_SILENCE, _FAILURE, _REFUSAL = "Silent run crashes", "Tell of a failure", "Tell of a refusal"


def silent_run_crashes() -> Automation:
    """A run whose engine is gone - killed hard, machine switched off - becomes Crashed."""
    ends = {f"prefect.flow-run.{name}" for name in ("Completed", "Failed", "Cancelled", "Crashed")}
    return Automation(
        name=_SILENCE,
        description=f"No heartbeat for {SILENCE_SECONDS} s: the run's process is gone.",
        trigger=EventTrigger(
            after={_HEARTBEAT},
            expect={_HEARTBEAT, *ends},
            match=_ANY_RUN,
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=SILENCE_SECONDS),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                message=f"Its process gave no sign of life for {SILENCE_SECONDS} s.",
            )
        ],
    )


def tell_of_failure(block: Any) -> Automation:
    """A failed or crashed run calls the webhook."""
    return Automation(
        name=_FAILURE,
        description="Calls the address in RNNPIPE_WEBHOOK when a run fails or crashes.",
        trigger=EventTrigger(
            expect={f"prefect.flow-run.{name}" for name in ("Failed", "Crashed", "TimedOut")},
            match=_ANY_RUN,
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=[
            CallWebhook(
                block_document_id=block,
                payload='{"text": {{ ("rnnpipe: run " ~ flow_run.name ~ " ended as "'
                ' ~ flow_run.state.name ~ ": " ~ (flow_run.state.message or "")) | tojson }},'
                ' "url": {{ flow_run | ui_url | tojson }}}',
            )
        ],
    )


def tell_of_refusal(block: Any) -> Automation:
    """A model that the gate refuses calls the webhook."""
    return Automation(
        name=_REFUSAL,
        description="Calls the address in RNNPIPE_WEBHOOK when a model is refused.",
        trigger=EventTrigger(expect={REFUSED_EVENT}, posture=Posture.Reactive, threshold=1),
        actions=[
            CallWebhook(
                block_document_id=block,
                payload='{"text": {{ ("rnnpipe: model refused: "'
                " ~ (event.payload | tojson)) | tojson }}}",
            )
        ],
    )


def _delete_automations(*names: str) -> None:
    with _client() as client:
        for name in names:
            for automation in client.read_automations_by_name(name):
                client.delete_automation(automation.id)
