"""What a run came to, in words, and who is told of a refused model."""

from collections.abc import Mapping
from typing import Any

from prefect import get_run_logger, runtime
from prefect.client.schemas.objects import State
from prefect.events import emit_event

from flows.serving.environment import REFUSED_EVENT
from flows.stage import Outcome, StageFailedError
from flows.workspace import Workspace
from rnnpipe.errors import RegistryError
from rnnpipe.storage.paths import paths_of

# A parametrised model belongs to the module that names it first, and there a worker in another
# process looks for it: so one module names this one for all.
TextState = State[str]


def in_a_sentence(outcomes: Mapping[str, Outcome]) -> str:
    """Tell in a sentence what became of all stages."""
    words = {"Ran": "ran", "Cached": "restored from the cache", "Cancelled": "cancelled"}
    parts = []
    for state, word in words.items():
        if stages := [o.stage for o in outcomes.values() if o.state == state]:
            parts.append(f"{word}: {', '.join(stages)}")
    return "; ".join(parts) or "nothing new"


def outcome_of(name: str, state: State[Any]) -> Outcome | None:
    """What became of a stage; None if it never began, because one that it needs failed."""
    if not state.is_final():
        return None
    result = state.result(raise_on_failure=False)
    if isinstance(result, Outcome):
        return result
    if isinstance(result, StageFailedError):
        return result.outcome
    if state.is_cancelled():
        return Outcome(name, "Cancelled", 0.0, state.message or "cancelled")
    return Outcome(name, "Failed", 0.0, str(result))


def reason_of_refusal(workspace: Workspace) -> str:
    """Why the stage register refused the model; empty: it did not."""
    from rnnpipe.registry.decision import read_decision

    decision = read_decision(workspace.folder / paths_of(workspace.params.problem).decision)
    if decision.verdict == "approved":
        return ""
    return "; ".join(str(gate) for gate in decision.reasons if not gate.passed)


def tell_of_refusal(name: str, reason: str) -> None:
    """Log it and emit an event, which a webhook may wait for."""
    get_run_logger().warning("The model is refused: %s", reason)
    emit_event(
        REFUSED_EVENT,
        resource={"prefect.resource.id": f"prefect.flow-run.{runtime.flow_run.id}"},
        payload={"run": name, "reason": reason},
    )


def champion_of(workspace: Workspace) -> Mapping[str, Any] | None:
    """Figures of the version in stage prod, else of the newest, with its number."""
    from rnnpipe.registry.publishing import models

    try:
        known = models(workspace.folder, workspace.params.problem)
    except RegistryError as error:
        get_run_logger().warning("No champion to compare with: %s", error)
        return None
    if not known:
        return None
    best = ([version for version in known if "prod" in version.stages] or list(known))[-1]
    return {**best.metrics, "version": best.version}
