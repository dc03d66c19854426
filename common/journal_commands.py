"""`fedpeft journal`: is a log of receipts sound, and do a site's and the coordinator's agree."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.visible import visible

if TYPE_CHECKING:  # these cost start-up time of every command
    from common.receipt_check import Log, Problem
    from common.receipt_match import Matching


def register(app: typer.Typer) -> None:
    """Add `journal` with its two commands."""
    journal = typer.Typer(no_args_is_help=True, help="Check the signed logs of what left a site and what arrived.")
    journal.command("verify")(verify)
    journal.command("match")(match)
    app.add_typer(journal, name="journal")


def verify(
    file: Annotated[Path, typer.Argument(help="A site's journal, or the coordinator's receipts (JSON lines).")],
    key: Annotated[
        str | None, typer.Option(help="The public key that should have signed it: ed25519:... Else the log's own.")
    ] = None,
) -> None:
    """Find changed, missing, moved, repeated or foreign lines of one log; exit 2 if there are any.

    A log whose end was cut off looks sound, only shorter: `match` finds that.
    """
    from common.errors import UserError

    log, found = _checked(file, key)
    _show_key(file, log, is_given=key is not None)
    for problem in found:
        typer.echo(f"  {_line_of(problem)}")
    wrong = [problem for problem in found if problem.kind != "torn"]
    if wrong:
        raise UserError(
            f"{file.name} is not as it was written: problems {len(wrong)}, the first in line {wrong[0].line}"
        )
    typer.echo(f"{len(log.receipts)} receipts, every one signed and in its place")
    typer.echo("An end that was cut off does not show in one log: fedpeft journal match SITE.jsonl SERVER.jsonl")


def match(
    site: Annotated[Path, typer.Argument(metavar="SITE.jsonl", help="The site's journal.")],
    server: Annotated[Path, typer.Argument(metavar="SERVER.jsonl", help="The coordinator's receipts of one run.")],
    site_key: Annotated[str | None, typer.Option(help="The site's public signing key: ed25519:...")] = None,
    server_key: Annotated[str | None, typer.Option(help="The coordinator's public signing key: ed25519:...")] = None,
) -> None:
    """Find what a site let out and the server has not, or has otherwise, and the reverse; exit 2 if there is any."""
    from common.errors import UserError
    from common.receipt_match import match as compare

    logs = []
    for file, key in ((site, site_key), (server, server_key)):
        log, found = _checked(file, key)
        _show_key(file, log, is_given=key is not None)
        wrong = [problem for problem in found if problem.kind != "torn"]
        if wrong:
            raise UserError(f"{file.name}: {_line_of(wrong[0])}; the rest: fedpeft journal verify {file.name}")
        logs.append([receipt.entry for receipt in log.receipts])
    matching = compare(*logs)
    _show(matching)
    if matching.differences:
        raise UserError(f"the two logs differ; payloads not in both: {len(matching.differences)}")


def _checked(file: Path, key: str | None) -> "tuple[Log, Sequence[Problem]]":
    from common.receipt_check import problems, read_log

    log = read_log(file, key)
    return log, problems(log)


def _show_key(file: Path, log: "Log", *, is_given: bool) -> None:
    from common.keys import fingerprint

    typer.echo(f"{file.name}: checked with the key {fingerprint(log.key)}")
    if not is_given:
        typer.echo("  the log itself names this key: compare it with the one that its owner gave you, by telephone")


def _line_of(problem: "Problem") -> str:
    return f"line {problem.line}: {problem.kind}: {problem.what}"


def _show(matching: "Matching") -> None:
    """Print the differences as a table. Texts in it come from another machine: a terminal must not obey them."""
    typer.echo(f"site {visible(matching.site)}: {matching.agreed} payloads are in both logs with the same digest")
    if matching.elsewhere:
        typer.echo(f"  {matching.elsewhere} more are of runs that the server's log does not speak of: not compared")
    for each in matching.differences:
        asked = each.question
        where = f"run {asked.run}  round {asked.round}  {asked.kind}"
        typer.echo(visible(f"  {where:<40}  {each.kind:<22}  {each.what}"))
