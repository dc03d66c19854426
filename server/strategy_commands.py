"""`fedpeft strategies`: every aggregation strategy, what it promises, what it costs, and what it goes with."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add `strategies`."""
    app.command("strategies")(strategies)


def strategies(
    folders: Annotated[
        list[Path] | None, typer.Option("--plugins", metavar="DIR", help="List the strategies in this folder too.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """List the aggregation strategies with their promises, bytes (layer m x n, rank r) and options; needs no torch."""
    import json

    from common import plugins
    from server.strategy_facts import PACKAGE, described, facts_of

    own = plugins.register_strategies(folders or [])
    found = [facts_of(name) for name in (*plugins.available(PACKAGE), *own)]
    if as_json:
        typer.echo(json.dumps([facts.to_json() for facts in found], indent=2))
        return
    for facts in found:
        for line in described(facts):
            typer.echo(line)
