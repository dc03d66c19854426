"""The `fedpeft` command: joins the sub-commands of the packages, and turns errors into exit codes.

    0    done
    1    a defect: the traceback is shown
    2    the user's mistake: one line on stderr
    3    a run ended without enough participation; a site did not use an adapter (`fedpeft site adopt --strict`)
    130  interrupted

A module of `COMMANDS` has `register(app)` and imports nothing but typer and the standard library at its top, so that
`fedpeft --help` answers at once. They are found by name: this file stands below them in the layers.
"""

import errno
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import click
import typer
from click.exceptions import NoArgsIsHelpError

from common.errors import ParticipationError, UserError
from common.quiet import silence
from common.visible import visible

PACKAGES = ("common", "client", "server", "simulations")
COMMANDS = (
    "simulations.commands",
    "simulations.compare.commands",
    "simulations.audit.commands",
    "simulations.continuing.commands",
    "simulations.tune.commands",
    "simulations.dashboard_commands",
    "server.commands",
    "server.strategy_commands",
    "server.tracking.commands",
    "client.commands",
    "client.distilling.commands",
    "client.export_commands",
    "client.serve_commands",
    "client.site_commands",
    "common.journal_commands",
    "common.base_model_commands",
    "common.method_commands",
    "common.privacy_commands",
    "common.registry_commands",
    "simulations.gate_commands",
    "common.task_commands",
    "common.doctor",
)

MENDABLE = {errno.EACCES, errno.EDQUOT, errno.ENOSPC, errno.EPERM, errno.EROFS}
"""What a disk or another user's file is to blame for."""


def main(arguments: Sequence[str] | None = None, *, commands: Iterable[str] = COMMANDS) -> int:
    """Run the command line (None: the process's own) and return the exit code of an error of ours.

    Anything else ends in SystemExit: with 0, with 2 for wrong usage, or with 130 after Ctrl-C.
    """
    silence(os.environ)
    try:
        check_packages(Path(__file__).resolve().parent.parent)
        code = build_app(commands)(args=arguments, prog_name="fedpeft", standalone_mode=False)
        raise SystemExit(code if isinstance(code, int) else 0)
    except NoArgsIsHelpError as error:
        typer.echo(error.ctx.get_help() if error.ctx else "")
        raise SystemExit(2) from None
    except click.UsageError as error:
        raise SystemExit(_report(UserError(_said_of_usage(error)), code=2)) from None
    except click.Abort:
        raise SystemExit(_report(UserError("interrupted; nothing was agreed to"), code=130)) from None
    except UserError as error:
        return _report(error, code=2)
    except ParticipationError as error:
        return _report(error, code=3)
    except OSError as error:
        if error.errno not in MENDABLE:
            raise
        return _report(UserError(_said_of_disk(error)), code=2)


def build_app(modules: Iterable[str]) -> typer.Typer:
    """Return the command with what the `register` of each module adds."""
    # Typer's own tracebacks show local variables, which may hold a patient's text.
    app = typer.Typer(
        name="fedpeft",
        help="Federated parameter-efficient fine-tuning: shared model, private parameters.",
        no_args_is_help=True,
        add_completion=False,
        suggest_commands=False,  # click does, of its own
        pretty_exceptions_enable=False,
    )
    app.callback()(_options)
    for name in modules:
        importlib.import_module(name).register(app)
    return app


def check_packages(folder: Path) -> None:
    """Raise UserError unless our four packages, whose names are general, are the ones in `folder`."""
    for name, found in locate_packages().items():
        if found != folder / name:
            raise UserError(
                f"the package {name!r} is {found or 'nowhere'}, but fedpeft's own is {folder / name}: "
                "another project has that name; give fedpeft an environment of its own (and look at PYTHONPATH)"
            )


def locate_packages() -> dict[str, Path | None]:
    """Return the folder from which each of the four packages is imported here; None where there is none."""
    return {name: _folder_of(name) for name in PACKAGES}


def _folder_of(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    locations = spec.submodule_search_locations if spec else None
    return Path(next(iter(locations))).resolve() if locations else None


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fedpeft {_version()}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Hold the options that stand before a sub-command."""


def _version() -> str:
    from importlib.metadata import version

    return version("fedpeft")


def _said_of_usage(error: click.UsageError) -> str:
    """Click's words in one line, without its box; where to read on is the command's own help."""
    said = error.format_message().rstrip(".")
    command = error.ctx.command_path if error.ctx else "fedpeft"
    return f"{said[:1].lower()}{said[1:]}; see {command} --help"


def _said_of_disk(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror}; make room, mend the disk, or run this as the user whose files they are"


def _report(error: Exception, *, code: int) -> int:
    message = visible(" ".join(str(error).split()))
    sys.stderr.write(f"fedpeft: {message}\n")
    return code
