"""What a SuperLink runs: `server.flower_app:app`, a ServerApp that plays a bundle over the registered sites.

Run config: `bundle`, the prepared study; `out`, a folder for checkpoint, events and outcome; `resume`, to go on with
the run in `out`. No torch: the adapter is written as the renaming of tensors that the bundle states.

    OUT/adapter/        the exported adapter
    OUT/outcome.json    rounds, participation, test metrics and digests
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any  # JSON values

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from common.adapter_folder import write_adapter
from common.bundle import Bundle, read_bundle
from common.errors import CheckpointError, UserError
from common.files import write_json
from server import checkpoint
from server.app import job_of
from server.closing import Outcome
from server.exchange import Clock
from server.model_card import render_card
from server.outcome_json import outcome_json
from server.rounds import run_rounds
from server.state import ServerState, fresh_state

OUTCOME = "outcome.json"
POLL_S = 0.2
"""Over HTTP each look for replies takes the SuperLink some 50 ms."""

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Play the run that the run config names, or what is left of it."""
    bundle, out = read_bundle(_path(context, "bundle")), _path(context, "out")
    study = bundle.study
    job = job_of(study, bundle.schema, sites=study.federation.sites, seed=study.seed, folder=out)
    job = replace(job, only_registered=True)
    state = begin(bundle, out, resume=bool(context.run_config.get("resume", False)))
    outcome = run_rounds(grid, job, state, clock=Clock(wait=_wait))
    write_outcome(out, bundle, outcome)


def _path(context: Context, key: str) -> Path:
    value = context.run_config.get(key)
    if not isinstance(value, str) or not value:
        raise UserError(f"the run config lacks {key!r}; give it: flwr run APP SUPERLINK -c '{key}=\"PATH\"'")
    return Path(value)


def _wait(seconds: float) -> None:
    Event().wait(max(seconds, POLL_S))


def begin(bundle: Bundle, out: Path, *, resume: bool) -> ServerState:
    """Return the state of the run in `out`, which must be there with `resume` and must not be without."""
    study, folder = bundle.study, out / "checkpoint"
    if resume:
        return checkpoint.read(folder, study=study.digest, seed=study.seed)
    if checkpoint.exists(folder):
        raise CheckpointError(f"{out} holds a run already; go on with it by resume=true, or choose another out")
    shared = {name: bundle.initial[name] for name in bundle.schema.shared.names}
    return fresh_state(shared, study=study.digest, seed=study.seed)


def write_outcome(out: Path, bundle: Bundle, outcome: Outcome) -> None:
    """Write the adapter, then `outcome.json`: where it is, the run is complete."""
    content = to_json(bundle, outcome)
    write_adapter(out / "adapter", bundle, outcome.adapter, card=render_card(content))
    write_json(out / OUTCOME, content)


def to_json(bundle: Bundle, outcome: Outcome) -> Mapping[str, Any]:
    """Return the outcome in the words of `results.json`; test metrics stand under `test`."""
    test = {site: evaluation.scores.to_json() for site, evaluation in outcome.test.items()}
    return {**outcome_json(bundle, outcome), "test": test}
