"""`fedpeft site start|stop|status|units`: the processes of a real site."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any  # a status is JSON

import typer

Folder = Annotated[Path, typer.Argument(help="The site's folder, which `fedpeft site init` made.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def register(site: typer.Typer) -> None:
    """Add the commands to `fedpeft site`."""
    for command in (start, stop, status, units):
        site.command()(command)


def start(folder: Folder) -> None:
    """Start trainer, SuperNode and gateway in the background, and wait until they answer."""
    from common.interrupts import saying_on_interrupt

    look = f"fedpeft site status {shlex.quote(str(folder))} tells how it is"
    with saying_on_interrupt(f"the start was interrupted, and what had begun is stopped; {look}"):
        from client.processes import start_site
        from client.reach import ANSWERS, coordinator_state
        from client.site_folder import SiteFolder

        start_site(SiteFolder(folder.resolve()))
    typer.echo(f"the site runs; {look}")
    with saying_on_interrupt("whether the coordinator is reached was not waited for"):
        reached = coordinator_state(SiteFolder(folder.resolve()))
    if reached != ANSWERS:
        typer.echo(f"but {reached}", err=True)


def stop(folder: Folder) -> None:
    """Stop the site's processes: the gateway first, the trainer last."""
    from client.processes import stop_site
    from client.settings import read_settings
    from client.site_folder import SiteFolder

    read_settings(SiteFolder(folder.resolve()))
    stop_site(SiteFolder(folder.resolve()))
    typer.echo("the site is stopped")


def status(folder: Folder, as_json: AsJson = False) -> None:
    """Say which processes run and answer, and what is in the way of the next message. Exit 0 if all is well, else 2."""
    import json

    from client.obstacles import obstacles
    from client.processes import site_status
    from client.reach import coordinator_state
    from client.settings import read_settings
    from client.site_folder import SiteFolder

    read_settings(SiteFolder(folder.resolve()))
    found = site_status(SiteFolder(folder.resolve()))
    found["obstacles"] = obstacles(SiteFolder(folder.resolve()))
    found["coordinator"] = coordinator_state(SiteFolder(folder.resolve())) if found["running"] else None
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        for line in _process_lines(found):
            typer.echo(line)
        typer.echo(_sentence(found))
        if found["running"]:
            typer.echo(found["coordinator"])
        for line in found["obstacles"]:
            typer.echo(f"in the way: {line}")
    if not all(found["answers"].values()) or found["obstacles"]:
        raise typer.Exit(2)


def _process_lines(found: dict[str, Any]) -> Iterator[str]:
    """Processes that systemd runs have neither state nor pid here."""
    unknown = {"state": "-", "pid": None}
    others = found["answers"] if found["running"] and not found["processes"] else {}
    for name, each in (found["processes"] or dict.fromkeys(others, unknown)).items():
        answers = {True: "answers", False: "does not answer", None: ""}[found["answers"].get(name)]
        yield f"{name:<10} {each['state']:<9} {each['pid'] or '-':<8} {answers}".rstrip()


def _sentence(found: dict[str, object]) -> str:
    trainer = found["trainer"]
    if not found["running"]:
        return "the site does not run"
    if not isinstance(trainer, dict):
        return "the trainer does not answer"
    doing = "answers a message" if trainer.get("busy") else "waits for messages"
    if trainer.get("loading"):
        doing = "is loading the base model and the rows of its study"
    return "the site is paused: it answers nothing" if trainer.get("paused") else f"the trainer {doing}"


def units(
    folder: Folder,
    trainer_user: Annotated[str, typer.Option(help="The OS user that has the data.")] = "fedpeft-trainer",
    gateway_user: Annotated[str, typer.Option(help="The OS user that talks to the coordinator.")] = "fedpeft-gateway",
) -> None:
    """Write systemd units for the site's processes, to run at boot in place of `start`."""
    from client.site_folder import SiteFolder
    from client.units import write_units

    for path in write_units(SiteFolder(folder.resolve()), trainer_user=trainer_user, gateway_user=gateway_user):
        typer.echo(f"wrote {path}")
