"""`fedpeft dashboard`: simulated runs in a browser, finished or under way."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(dashboard)


def dashboard(
    folder: Annotated[Path, typer.Argument(help="The folder of a run, or one with runs in it, such as runs/.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 0,
    host: Annotated[
        str, typer.Option(help="Address to listen on; only this machine reaches the loopback.")
    ] = "127.0.0.1",
) -> None:
    """Watch simulated runs in a browser until Ctrl-C. It reads their folders and writes nothing."""
    from server.dashboard.folders import source_of
    from server.dashboard.serving import serve_runs

    serve_runs(source_of(folder), host=host, port=port, token_file=None, say=typer.echo)
