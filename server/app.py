"""The Flower ServerApp: Flower calls it with a grid, it runs the rounds and hands over the outcome."""

from collections.abc import Callable
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from common.compressing import compression_of
from common.state import AdapterSchema
from common.study import Study
from common.study_task import task_of
from server.closing import Outcome
from server.enough import quorum_of, strategy_of
from server.events import Progress, ignore
from server.job import ServerJob
from server.noised_mean import rule_of
from server.rounds import run_rounds
from server.state import ServerState


def make_app(
    job: ServerJob, state: ServerState, *, deliver: Callable[[Outcome], None], progress: Progress = ignore
) -> ServerApp:
    """Return the app of one run.

    Args:
        state: where to begin: `fresh_state` or a checkpoint.
        deliver: takes the outcome of a complete run; what the rounds raise passes through to Flower.
    """
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:  # noqa: ARG001 # Flower's signature
        deliver(run_rounds(grid, job, state, progress=progress))

    return app


def job_of(study: Study, schema: AdapterSchema, *, sites: tuple[str, ...], seed: int, folder: Path) -> ServerJob:
    """Return the job of a run of `study` over `sites`, kept in `folder`. Raises StudyError."""
    aggregation, federation = study.aggregation, study.federation
    return ServerJob(
        study=study.digest,
        schema=schema,
        measure=task_of(study.task).measure,
        strategy=strategy_of(study),
        sites=sites,
        rounds=federation.rounds,
        seed=seed,
        folder=folder,
        fraction=federation.fraction,
        quorum=quorum_of(study, sites),
        deadline_s=federation.deadline_s,
        weighting=aggregation.weighting,
        norm_bound=aggregation.norm_bound,
        keep=study.evaluation.keep,
        patience=federation.patience,
        unfreeze=study.training.unfreeze,
        ranks=federation.ranks,
        compression=compression_of(study.compression),
        evaluation=study.evaluation,
        resamples=study.evaluation.resamples,
        site_rule=rule_of(study, len(sites)),
    )
