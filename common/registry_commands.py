"""`fedpeft registry`: versions of adapters, which of them is in use, and what happened to them."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # these cost start-up time of every command
    from common.registry.reference import Reference
    from common.registry.store import Registry

Folder = Annotated[Path, typer.Option("--registry", metavar="DIR", help="The registry's folder.")]
DEFAULT = Path("registry")
AsJson = Annotated[bool, typer.Option("--json", help="For machines.")]
Named = Annotated[str, typer.Argument(metavar="NAME@N", help="A version, such as heart@2.")]
Model = Annotated[str, typer.Argument(metavar="NAME", help="A model's name.")]
Reason = Annotated[str, typer.Option(help="Why, for the history.")]


def register(app: typer.Typer) -> None:
    """Add `registry` with its commands."""
    registry = typer.Typer(no_args_is_help=True, help="Keep versions of adapters, and say which one is in use.")
    registry.command()(add)
    registry.command("list")(list_versions)
    for command in (show, promote, rollback, diff, prune, check):
        registry.command()(command)
    app.add_typer(registry, name="registry")


def add(
    run: Annotated[Path, typer.Argument(help="A finished run's folder, or an adapter's.")],
    registry: Folder = DEFAULT,
    name: Annotated[str | None, typer.Option(help="The model's name; the study's if not given.")] = None,
    parent: Annotated[int | None, typer.Option(min=1, help="The version that it was continued from.")] = None,
    promote: Annotated[bool, typer.Option("--promote", help="Promote it, too.")] = False,
) -> None:
    """Copy a run's adapter, results and facts into the registry, as the next version of its name."""
    from common.registry.words import leading_figure

    store = _open(registry)
    made = store.add(run, name=name, parent=parent)
    _say([f"added {made.name}@{made.number}: {leading_figure(made)}, adapter {made.digests.adapter}"])
    if promote:
        store.promote(made.name, made.number, reason="as it was added")
        typer.echo(f"promoted {made.name}@{made.number}")


def list_versions(registry: Folder = DEFAULT, as_json: AsJson = False) -> None:
    """List all versions; one that is damaged is named, and the others are listed all the same."""
    import json

    from common.registry.words import list_lines
    from common.visible import visible

    store = _open(registry)
    if as_json:
        typer.echo(json.dumps({name: _summary(store, name) for name in store.names()}, indent=2))
        return
    for name in store.names():
        _say(list_lines(store.versions(name), store.current(name), store.pruned(name)))
        for problem in store.problems(name, files=False):
            typer.echo(visible(str(problem)), err=True)
    if not store.names():
        typer.echo(f"no version is in {registry}; add one: fedpeft registry add RUN --registry {registry}")


def _summary(store: "Registry", name: str) -> dict[str, object]:
    return {
        "promoted": store.current(name).version,
        "versions": [each.to_json()["version"] for each in store.versions(name)],
        "pruned": store.pruned(name),
        "problems": [str(problem) for problem in store.problems(name, files=False)],
    }


def show(
    named: Annotated[str, typer.Argument(metavar="NAME[@N]", help="A version; without @N the promoted one.")],
    registry: Folder = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Show where a version is from, what vouches for it, and what it scored."""
    import json

    from common.registry.reference import parse, resolve
    from common.registry.words import event_lines, show_lines

    store, reference = _open(registry), parse(named)
    number = resolve(store, reference)
    version = store.version(reference.name, number)
    events = [each for each in store.events(reference.name) if each.version == number]
    if as_json:
        content = {**version.to_json()["version"], "history": [vars(each) for each in events]}
        typer.echo(json.dumps({**content, "pruned": store.is_pruned(reference.name, number)}, indent=2))
        return
    promoted = store.current(reference.name).version == number
    _say(show_lines(version, is_promoted=promoted, is_pruned=store.is_pruned(reference.name, number)))
    _say(event_lines(reference.name, events))


def promote(named: Named, registry: Folder = DEFAULT, reason: Reason = "") -> None:
    """Let NAME mean this version, for `predict`, `serve` and whoever names REGISTRY/NAME."""
    found = _numbered(named)
    assert found.number is not None  # checked there
    _open(registry).promote(found.name, found.number, reason=reason)
    typer.echo(f"promoted {found.name}@{found.number}")


def rollback(name: Model, registry: Folder = DEFAULT, reason: Reason = "") -> None:
    """Let NAME mean again the version that was promoted before."""
    store = _open(registry)
    before, now = store.current(name).version, store.rollback(name, reason=reason)
    typer.echo(f"rolled back from {name}@{before} to {name}@{now.number}")


def diff(
    first: Named,
    second: Named,
    registry: Folder = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Compare two versions: metrics, keys of the studies that differ, tensors, digests."""
    import json

    from common.registry.difference import difference, lines_of

    one, other = _numbered(first), _numbered(second)
    found = difference(_open(registry), one, other)
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=2))
    else:
        _say(lines_of(found))


def prune(
    name: Model,
    keep: Annotated[int, typer.Option(min=1, help="How many of the newest versions keep their files.")],
    registry: Folder = DEFAULT,
) -> None:
    """Remove the files of old versions; never of the promoted one, nor of that to which rollback would go."""
    gone = _open(registry).prune(name, keep)
    typer.echo(f"pruned {', '.join(f'{name}@{number}' for number in gone) or 'nothing'}; what they were stays listed")


def check(registry: Folder = DEFAULT, as_json: AsJson = False) -> None:
    """Look through every file of every version, and name what is cut off, changed or missing; exit 2 if any is."""
    import json

    from common.errors import UserError

    store = _open(registry)
    found = [problem for name in store.names() for problem in store.problems(name)]
    if as_json:
        typer.echo(json.dumps([vars(problem) for problem in found], indent=2))
    _say(() if as_json else map(str, found))
    if found:
        raise UserError(f"problems in the registry {registry}: {len(found)}; every other version can be used")
    if not as_json:
        count = sum(len(store.versions(name)) for name in store.names())
        typer.echo(f"versions: {count}, every file as it was when it was added")


def _say(lines: Iterable[str]) -> None:
    """Print lines. Names and figures in them may come from another machine: a terminal must not obey them."""
    from common.visible import visible

    for line in lines:
        typer.echo(visible(line))


def _numbered(named: str) -> "Reference":
    from common.errors import UserError
    from common.registry.reference import parse

    found = parse(named)
    if found.number is None:
        raise UserError(f"{named!r} names no version; expected NAME@N, such as {named}@1")
    return found


def _open(folder: Path) -> "Registry":
    from common.registry.store import Registry

    return Registry(folder)
