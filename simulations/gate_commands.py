"""`fedpeft registry gate`: which virtual sites of a run would use its adapter."""

from pathlib import Path
from typing import Annotated

import typer

GROUP = "registry"
"""Its other commands need no simulation, and are in `common.registry_commands`."""


def register(app: typer.Typer) -> None:
    """Add the command to the group, which must be there."""
    groups = [each.typer_instance for each in app.registered_groups if each.name == GROUP]
    for group in filter(None, groups):
        group.command()(gate)


def gate(
    run: Annotated[Path, typer.Argument(help="The folder of a finished simulation.")],
    against: Annotated[Path, typer.Option(help="The version in use: REGISTRY/NAME, REGISTRY/NAME@N, or a folder.")],
    max_loss: Annotated[float, typer.Option(min=0, help="What may be lost in the leading metric.")] = 0.02,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Say for each virtual site whether it would use the run's adapter, by the rule of `fedpeft site adopt`."""
    import json

    from client.verdict_text import reasons, table
    from simulations.acceptance import gate as judge_all

    found = judge_all(run, against, max_loss=max_loss)
    if as_json:
        typer.echo(json.dumps({site: verdict.to_json() for site, verdict in found.items()}, indent=2))
        return
    for line in (*table(found), *reasons(found)):
        typer.echo(line)
    used = sum(verdict.is_accepted for verdict in found.values())
    typer.echo(f"{used} of {len(found)} sites would use the adapter of {run.name}")
