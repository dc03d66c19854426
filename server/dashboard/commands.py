"""`fedpeft server dashboard`: the runs of a coordinator in a browser."""

from pathlib import Path
from typing import Annotated

import typer

Port = Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")]
Host = Annotated[str, typer.Option(help="Address to listen on; only this machine reaches the loopback.")]


def register(server: typer.Typer) -> None:
    """Add the command to `fedpeft server`."""
    server.command()(dashboard)


def dashboard(
    folder: Annotated[Path, typer.Argument(help="The coordinator's folder.")],
    port: Port = 0,
    host: Host = "127.0.0.1",
    token_file: Annotated[
        Path | None, typer.Option(help="Write the token for cancel and resume there, instead of showing it here.")
    ] = None,
) -> None:
    """Watch the runs in a browser until Ctrl-C; cancel and resume them with the token."""
    from common.errors import UserError
    from common.ownership import check_owner
    from server.dashboard.folders import source_of
    from server.dashboard.serving import serve_runs

    source = source_of(folder)
    if source.kind != "coordinator":
        raise UserError(f"{folder} is no coordinator's folder; simulated runs are shown by: fedpeft dashboard {folder}")
    check_owner(folder)
    serve_runs(source, host=host, port=port, token_file=token_file, say=typer.echo)
