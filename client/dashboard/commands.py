"""`fedpeft site dashboard`: what left a site, under which policy, and what was spent, in a browser."""

from pathlib import Path
from typing import Annotated

import typer


def register(site: typer.Typer) -> None:
    """Add the command to `fedpeft site`."""
    site.command()(dashboard)


def dashboard(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The site's folder.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 0,
    host: Annotated[str, typer.Option(help="Address to listen on; only this machine reaches the loopback.")] = (
        "127.0.0.1"
    ),
    token_file: Annotated[
        Path | None, typer.Option(help="Ask for a password, made anew and written there; needed with another --host.")
    ] = None,
) -> None:
    """Watch in a browser what leaves the site, under which policy, and what was spent, until Ctrl-C. It only reads."""
    from client.dashboard.serving import serve_site

    serve_site(folder, host=host, port=port, token_file=token_file, say=typer.echo)
