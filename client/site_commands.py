"""`fedpeft site ...`: a hospital's own decisions. Everything here happens on the site's own disk."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from client import adoption_commands, privacy_commands, site_process_commands
from client.dashboard import commands as dashboard_commands

if TYPE_CHECKING:
    from client.site_folder import SiteFolder

SiteArgument = Annotated[Path, typer.Argument(metavar="DIR", help="The site's folder.")]
BundleArgument = Annotated[Path, typer.Argument(metavar="BUNDLE", help="A study's bundle, signed by its coordinator.")]

site_app = typer.Typer(help="Take part in studies as a hospital, and decide what leaves it.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(site_app, name="site")


@site_app.command()
def init(
    folder: SiteArgument,
    site: Annotated[str, typer.Option(help="The site's name in studies.")],
    coordinator: Annotated[Path, typer.Option(help="The coordinator's join.toml.")],
    data: Annotated[Path | None, typer.Option(help="The site's rows: CSV, TSV or Parquet.")] = None,
    base_model: Annotated[
        list[str] | None, typer.Option(help="Folder of a base model, or package:NAME/FOLDER; may be repeated.")
    ] = None,
) -> None:
    """Make a site: keys, settings, a careful policy, and the file that the coordinator enrols it by."""
    from client.initialise import enrolment_path, initialise, read_join
    from client.site_folder import SiteFolder
    from common.base_files import folder_of
    from common.keys import fingerprint

    place, models = SiteFolder(folder), [folder_of(text) for text in base_model or []]
    made = initialise(place, site=site, join=coordinator, data=data, base_models=models)
    trusted = read_join(coordinator)
    typer.echo(f"site {site} is in {folder}")
    typer.echo(f"its fingerprint:               {fingerprint(made.signing_key)}")
    typer.echo(f"the coordinator's fingerprint: {fingerprint(trusted.signing_key)}  ({trusted.name})")
    typer.echo("Next:")
    typer.echo(f"  send {enrolment_path(place, site)} to the coordinator, and compare both fingerprints by telephone")
    typer.echo(f"  read and change {place.settings} and {place.policy}")
    typer.echo(f"  fedpeft site approve {shlex.quote(str(folder))} BUNDLE, for each study that you agree to")


@site_app.command()
def approve(
    folder: SiteArgument,
    bundle: BundleArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Show in plain words what a study would do here, and agree to it."""
    from client import approval
    from client.explain import explain
    from client.ledger import open_ledger
    from client.policy import read_policy
    from client.settings import read_settings
    from common.errors import UserError

    place = _site(folder)
    signed, policy = approval.read_signed(bundle), read_policy(place.policy)
    found = explain(signed, read_settings(place), policy, open_ledger(place))
    for line in found.lines:
        typer.echo(line)
    if found.objections:
        raise UserError(f"study {signed.bundle.study.name!r} cannot be approved here: {'; '.join(found.objections)}")
    if not yes and not typer.confirm("Approve this study?"):
        raise UserError("not approved; nothing has changed")
    made = approval.approve(place, bundle, signed, policy)
    typer.echo(f"approved: {made.approval.name}, bundle {made.approval.bundle}")


@site_app.command()
def revoke(
    folder: SiteArgument,
    study: Annotated[str, typer.Argument(metavar="STUDY|DIGEST", help="Name of a study, or a digest.")],
) -> None:
    """Take an approval back; what is being trained stops at its next step, and nothing of it leaves."""
    from client import approval

    for each in approval.revoke(_site(folder), study):
        typer.echo(f"revoked: {each.name}, bundle {each.bundle}")


@site_app.command()
def approvals(
    folder: SiteArgument,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """List the approved studies."""
    import json

    from client import approval

    found = [each.approval for each in approval.approvals(_site(folder))]
    if as_json:
        typer.echo(json.dumps([each.model_dump() for each in found], indent=2))
        return
    for each in found:
        typer.echo(f"{each.time}  {each.name}  bundle {each.bundle}")
    if not found:
        typer.echo("no study is approved")


@site_app.command()
def pause(folder: SiteArgument) -> None:
    """Answer nothing from now on; what is being trained stops at its next step."""
    from common.files import write_bytes

    write_bytes(_site(folder).paused, b"", mode=0o600)
    typer.echo("paused: nothing leaves until `fedpeft site resume`")


@site_app.command()
def resume(folder: SiteArgument) -> None:
    """Answer again after a pause."""
    _site(folder).paused.unlink(missing_ok=True)
    typer.echo("the site answers again")


@site_app.command()
def preview(
    folder: SiteArgument,
    bundle: BundleArgument,
    out: Annotated[Path, typer.Option(help="A new folder for the bytes and what they hold.")],
) -> None:
    """Play one round here and write the exact bytes that would leave; nothing is sent."""
    from client.preview import preview as play
    from client.preview import text_of

    for line in text_of(play(_site(folder), bundle, out)):
        typer.echo(line)
    typer.echo(f"wrote {out}")


@site_app.command()
def check(
    folder: SiteArgument,
    bundle: BundleArgument,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Count what the site's rows hold and lack for a study: rows, patients, labels, missing and wrong values."""
    import json

    from client.row_check import check_rows, lines_of
    from client.settings import read_settings
    from common.bundle import read_bundle
    from common.errors import DataError

    found = check_rows(read_settings(_site(folder)).rows, read_bundle(bundle).study)
    for line in [json.dumps(found.to_json(), indent=2)] if as_json else lines_of(found):
        typer.echo(line)
    if not found.is_usable:
        raise DataError("the study cannot use these rows; the list above says which to correct")


def _site(folder: Path) -> SiteFolder:
    from client.settings import read_settings
    from client.site_folder import SiteFolder

    site = SiteFolder(folder)
    read_settings(site)  # is it one?
    return site


adoption_commands.register(site_app)
privacy_commands.register(site_app)
site_process_commands.register(site_app)
dashboard_commands.register(site_app)
