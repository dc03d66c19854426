"""`fedpeft server`: a coordinator. Every command takes its folder first."""

from pathlib import Path
from typing import Annotated

import typer

from server import run_commands
from server.dashboard import commands as dashboard_commands

Folder = Annotated[Path, typer.Argument(help="The coordinator's folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
DEFAULT_PORT = 8443

server_app = typer.Typer(
    name="server",
    help="A coordinator: runs studies over enrolled hospitals. Needs no torch.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(server_app)


@server_app.command()
def init(
    folder: Folder,
    host: Annotated[str, typer.Option(help="Names or addresses by which sites reach this machine: NAME[,IP].")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="The front door's port.")] = DEFAULT_PORT,
    listen: Annotated[str, typer.Option(help="Address on which the front door waits.")] = "0.0.0.0",
    name: Annotated[str | None, typer.Option(help="What the sites call this coordinator (default: the host).")] = None,
) -> None:
    """Make a coordinator's folder: keys, certificates, settings, and join.toml for the hospitals."""
    from common.keys import fingerprint, public_text, read_signing_key
    from server.coordinator.folder import CoordinatorFolder
    from server.coordinator.initialise import initialise

    hosts = [part.strip() for part in host.split(",") if part.strip()]
    settings = initialise(folder, hosts=hosts, port=port, listen=listen, name=name)
    made = CoordinatorFolder(folder)
    key = public_text(read_signing_key(made.signing_key))
    typer.echo(f"made {folder}; sites will reach it at {settings.address}")
    typer.echo(f"signing key's fingerprint, to be read out to each hospital: {fingerprint(key)}")
    typer.echo(f"next: fedpeft server start {folder}; give {made.join} to each hospital")


@server_app.command()
def start(folder: Folder) -> None:
    """Start the coordinator's processes in the background."""
    from server.coordinator.folder import CoordinatorFolder
    from server.coordinator.processes import start as start_processes
    from server.coordinator.settings import read_settings

    settings = read_settings(CoordinatorFolder(folder).settings)
    start_processes(folder)
    typer.echo(f"the coordinator runs; sites reach it at {settings.address}")


@server_app.command()
def stop(folder: Folder) -> None:
    """Stop the coordinator's processes; runs under way can be resumed."""
    from server.coordinator.processes import stop as stop_processes

    stop_processes(folder)
    typer.echo("the coordinator is stopped")


@server_app.command()
def status(folder: Folder, as_json: AsJson = False) -> None:
    """Show whether each process runs and answers; exit 0 if all do, else 2."""
    from server.coordinator import views
    from server.coordinator.processes import status as service_states

    services = service_states(folder)
    if as_json:
        _print_json(views.status_json(folder, services))
    elif services:
        views.print_services(services)
        typer.echo(f"certificates: {views.certificate_days(folder)} days left; fedpeft server renew makes new ones")
    else:
        typer.echo("the coordinator is stopped")
    raise typer.Exit(0 if views.is_healthy(services) else 2)


@server_app.command()
def renew(folder: Folder) -> None:
    """Make new certificates from the same authorities; sites need to do nothing."""
    from server.coordinator.initialise import renew_certificates

    settings = renew_certificates(folder)
    typer.echo(f"new certificates for {', '.join(settings.hosts)}; they count from the next start")


@server_app.command()
def enroll(
    folder: Folder,
    enrolments: Annotated[list[Path], typer.Argument(help="The hospitals' files, SITE.enrol.")],
    expect: Annotated[
        str | None, typer.Option(help="The signing key's fingerprint, as the hospital read it out; for one file.")
    ] = None,
) -> None:
    """Let hospitals take part. Compare each fingerprint with what the hospital reads out."""
    from common.errors import UserError
    from common.keys import fingerprint
    from server.coordinator.registration import enroll as enroll_site

    if expect is not None and len(enrolments) > 1:
        raise UserError("--expect is the fingerprint of one hospital; enroll one file at a time with it")
    for enrolment in enrolments:
        site = enroll_site(folder, enrolment, expect=expect)
        typer.echo(f"enrolled {site.name}" + ("" if site.registered else "; it is let in from the next start"))
        typer.echo(f"signing key's fingerprint, to be compared by telephone: {fingerprint(site.signing_key)}")


@server_app.command()
def revoke(folder: Folder, name: Annotated[str, typer.Argument(help="The site's name.")]) -> None:
    """Let a hospital take part no more: at once, also in a run under way."""
    from server.coordinator.registration import revoke as revoke_site

    typer.echo(f"revoked {revoke_site(folder, name).name}; its keys never come back")


@server_app.command()
def sites(folder: Folder, as_json: AsJson = False) -> None:
    """List the enrolled hospitals, and which of them are online."""
    from server.coordinator import views
    from server.coordinator.registration import site_states

    states = site_states(folder)
    if as_json:
        _print_json(views.sites_json(states))
    else:
        views.print_sites(states)


@server_app.command()
def sync(folder: Folder) -> None:
    """Tell a SuperLink under systemd of sites enrolled or revoked while it was down."""
    from server.coordinator.registration import await_link, synchronise

    await_link(folder)
    synchronise(folder)


@server_app.command()
def sign(
    folder: Folder, bundle: Annotated[Path, typer.Argument(help="The prepared study, which hospitals approve.")]
) -> None:
    """Sign a prepared study with the coordinator's key, so that hospitals know whose it is."""
    from common.bundle import read_bundle
    from common.endorsement import endorse
    from common.keys import fingerprint, read_signing_key
    from server.coordinator.folder import CoordinatorFolder

    key = read_signing_key(CoordinatorFolder(folder).signing_key)
    made = endorse(bundle, read_bundle(bundle), key)
    typer.echo(f"signed {bundle}: {made.bundle}")
    typer.echo(f"by the key {fingerprint(made.coordinator)}")


@server_app.command()
def units(folder: Folder, user: Annotated[str, typer.Option(help="The OS user that runs them.")] = "fedpeft") -> None:
    """Write systemd units and an nginx configuration for production."""
    from server.coordinator.units import write_units

    for path in write_units(folder, user=user):
        typer.echo(str(path))


def _print_json(value: object) -> None:
    import json

    typer.echo(json.dumps(value, indent=2))


run_commands.register(server_app)
dashboard_commands.register(server_app)
