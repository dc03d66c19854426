"""`fedpeft track RUN --to DESTINATION`: what a run says and leaves, brought to a tracker, also afterwards."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(track)


def track(
    run: Annotated[Path, typer.Argument(help="A run's folder: a simulation's, or one under a coordinator's runs/.")],
    to: Annotated[
        list[str],
        typer.Option(metavar="KIND[=TARGET]", help="mlflow=URI, tensorboard[=DIR] or csv; may be given again."),
    ],
) -> None:
    """Bring a run, finished or not, to MLflow, TensorBoard or a table; what is there already is not written twice."""
    from common.errors import UserError
    from server.tracking.at_once import runs_in, track_at_once
    from server.tracking.destination import destination, missing_package

    destinations = [destination(text, base=Path.cwd()) for text in to]
    for each in destinations:
        missing = missing_package(each.kind)
        if missing is not None:
            raise UserError(missing)
    for folder in runs_in(run):
        for each in destinations:
            typer.echo(track_at_once(folder, each))
