"""`fedpeft predict`: an adapter at work on a hospital's rows."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(predict)


def predict(
    adapter: Annotated[Path, typer.Option(help="An adapter's folder, its run's, or that of a model exported whole.")],
    data: Annotated[Path, typer.Option(help="Rows to score: CSV, TSV or Parquet with the study's columns.")],
    out: Annotated[
        Path,
        typer.Option(help="CSV to write: row, prediction, probabilities where there are such."),
    ],
    base_model: Annotated[
        Path | None, typer.Option(help="The base model's folder, if not where the study says.")
    ] = None,
    private: Annotated[Path | None, typer.Option(help="Folder with the site's own private.safetensors.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads on the CPU.")] = 1,
) -> None:
    """Score the rows of a file with an adapter."""
    from client.opening import place_of
    from client.prediction import predict as score
    from client.prediction import write_predictions

    place = place_of(adapter, base_model)
    predictions = score(place.folder, data, base_folder=place.base, private=private, threads=threads)
    write_predictions(predictions, out)
    typer.echo(f"wrote {out}: {len(predictions.rows)} rows")
