"""`fedpeft export`: an adapter in a form that other programs load."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add `export`."""
    app.command()(export)


def export(
    adapter: Annotated[Path, typer.Argument(help="An exported adapter's folder, or its run's.")],
    format_: Annotated[str, typer.Option("--format", help="peft, merged, int8 or onnx.")],
    out: Annotated[Path, typer.Option(help="Folder to write; it must be new or empty.")],
    base_model: Annotated[
        Path | None, typer.Option(help="The base model's folder, if not where the study says.")
    ] = None,
    private: Annotated[Path | None, typer.Option(help="Folder with the site's own private.safetensors.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Labelled rows on which int8 is measured beside float32 and bf16.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads on the CPU, to measure with.")] = 1,
) -> None:
    """Write an adapter as a PEFT directory, as merged or 8-bit weights, or as ONNX; outputs are compared first."""
    from client.exporting import export_to
    from client.opening import place_of

    for line in export_to(format_, place_of(adapter, base_model), out, private=private, data=data, threads=threads):
        typer.echo(line)
