"""`fedpeft site adopt` and `fedpeft site adapter`: which global adapter a site uses. Nothing of it is ever sent."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from client.adoption import Adopted
    from client.site_folder import SiteFolder
    from common.registry.store import Registry

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The site's folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="For machines.")]
KEPT = 3
"""Exit code of --strict where the site keeps what it has."""


def register(site: typer.Typer) -> None:
    """Add the commands to `fedpeft site`."""
    site.command()(adopt)
    site.command()(adapter)


def adopt(
    folder: Folder,
    candidate: Annotated[
        Path | None, typer.Argument(metavar="ADAPTER", help="An adapter's folder, its run's, or REGISTRY/NAME.")
    ] = None,
    max_loss: Annotated[
        float | None, typer.Option(min=0, help="What may be lost; the policy's adopt_max_loss if not given.")
    ] = None,
    against_initial: Annotated[
        bool, typer.Option("--against-initial", help="With no version in use, compare with the initial adapter.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 3 where the site keeps what it has.")] = False,
    rollback: Annotated[bool, typer.Option("--rollback", help="Use the version before again.")] = False,
    study: Annotated[str | None, typer.Option(help="Of which study, for --rollback at a site of several.")] = None,
    as_json: AsJson = False,
) -> None:
    """Use a new global adapter, unless it loses too much on this site's own validation rows."""
    from client import adoption
    from common.errors import UserError

    place = _site(folder)
    if rollback is (candidate is not None):
        raise UserError("give either an ADAPTER to use, or --rollback")
    if candidate is None:
        version = adoption.roll_back(place, study)
        typer.echo(f"this site uses {version.name}@{version.number} again")
        return
    found = adoption.adopt(place, candidate, max_loss=max_loss, against_initial=against_initial)
    _show(found, as_json=as_json)
    if strict and not found.verdict.is_accepted:
        raise typer.Exit(KEPT)


def _show(found: "Adopted", *, as_json: bool) -> None:
    import json

    from client.verdict_text import table
    from common.visible import visible

    verdict = found.verdict
    if as_json:
        about = {"name": found.name, "against": found.against, "in_use": found.in_use}
        typer.echo(json.dumps({**about, **verdict.to_json()}, indent=2))
        return
    for line in table({found.name: verdict}):
        typer.echo(line)
    against = f" (compared with {found.against})" if found.against else ""
    typer.echo(visible(f"{'accepted' if verdict.is_accepted else 'not accepted'}: {verdict.why}{against}"))
    typer.echo(f"this site uses {found.in_use or 'no version'}")


def adapter(folder: Folder, as_json: AsJson = False) -> None:
    """Show which version of a global adapter this site uses, and how it came to that."""
    import json

    from common.registry.store import Registry
    from common.registry.words import event_lines, list_lines
    from common.visible import visible

    place = _site(folder)
    registry = Registry(place.adapters)
    if as_json:
        typer.echo(json.dumps({name: _summary(registry, name) for name in registry.names()}, indent=2))
        return
    for name in registry.names():
        current = registry.current(name)
        lines = list_lines(registry.versions(name), current, registry.pruned(name))
        for line in (*lines, *event_lines(name, registry.events(name))):
            typer.echo(visible(line))
        for problem in registry.problems(name):
            typer.echo(visible(str(problem)), err=True)
        if current.version is not None:
            typer.echo(f"use it: fedpeft predict --adapter {place.adapters / name} ...")
    if not registry.names():
        typer.echo("this site uses no global adapter; fedpeft site adopt DIR ADAPTER takes one over")


def _summary(registry: "Registry", name: str) -> dict[str, object]:
    return {
        "in_use": registry.current(name).version,
        "versions": [each.to_json()["version"] for each in registry.versions(name)],
        "history": [vars(each) for each in registry.events(name)],
        "problems": [str(problem) for problem in registry.problems(name)],
    }


def _site(folder: Path) -> "SiteFolder":
    from client.settings import read_settings
    from client.site_folder import SiteFolder

    site = SiteFolder(folder)
    read_settings(site)  # is it one?
    return site
