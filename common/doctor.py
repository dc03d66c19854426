"""`fedpeft doctor`: shows what fedpeft finds on this machine, and what that means for a run."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # these cost start-up time of every command
    from common.machine import Bf16, Disk, Gpu


@dataclass(frozen=True)
class Examination:
    """What was found; None is unknown or absent.

    network: variables that do not keep the libraries offline, with their values; empty is well.
    packages: where each of our four packages is imported from.
    """

    versions: dict[str, str | None]
    cores: int
    memory_bytes: int | None
    gpus: "list[Gpu] | None"
    bf16: "Bf16 | None"
    disk: "Disk"
    network: dict[str, str | None]
    packages: dict[str, str | None]


def register(app: typer.Typer) -> None:
    """Add `doctor` to the command line."""
    app.command("doctor")(_doctor)


def _doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for a program to read.")] = False,
) -> None:
    """Show versions, cores, memory, GPU, bf16 speed, disk and offline settings of this machine."""
    import json

    found = examine()
    if as_json:
        typer.echo(json.dumps({"format": 1, **asdict(found), "notes": notes(found)}, indent=2))
    else:
        _show(found)


def examine() -> Examination:
    """Look at this machine; takes about two seconds, most of it the import of torch."""
    import os
    from pathlib import Path

    from common import machine
    from common.command import locate_packages
    from common.quiet import violations

    torch = machine.load_torch()
    return Examination(
        versions=machine.versions(),
        cores=machine.usable_cores(),
        memory_bytes=machine.memory_bytes(),
        gpus=None if torch is None else machine.gpus(torch),
        bf16=None if torch is None else machine.bf16(torch),
        disk=machine.disk(Path.cwd()),
        network=violations(os.environ),
        packages={name: str(folder) if folder else None for name, folder in locate_packages().items()},
    )


def rows(found: Examination) -> list[tuple[str, str]]:
    """Return the lines of the table: what, and what was found."""
    return [
        *_texts(found.versions, missing="not installed"),
        ("cores", str(found.cores)),
        ("memory", _size(found.memory_bytes)),
        ("GPU", _gpu_text(found.gpus)),
        ("bf16", "unknown" if found.bf16 is None else f"{found.bf16.speedup:.1f} x fp32 on {found.bf16.device}"),
        ("disk", f"{_size(found.disk.free_bytes)} free, {_speed(found.disk)}"),
        ("network", f"wrong: {', '.join(sorted(found.network))}" if found.network else "reporting and downloads off"),
        *_texts({f"package {name}": folder for name, folder in found.packages.items()}, missing="not found"),
    ]


def _texts(values: dict[str, str | None], *, missing: str) -> list[tuple[str, str]]:
    return [(name, missing if value is None else value) for name, value in values.items()]


def notes(found: Examination) -> list[str]:
    """Return what a user should know or do, one sentence each."""
    return list(_notes(found))


def _notes(found: Examination) -> Iterable[str]:
    if found.gpus is None:
        yield (
            "torch does not load: this machine can serve a prepared study, but not prepare, simulate or train one; "
            "for those: pip install '.[train]' in the clone"
        )
    elif not found.gpus:
        yield "no GPU: a small base model trains well on the CPU; for a large one take a machine with a GPU"
    if found.bf16 is not None and found.bf16.speedup < 1:
        yield 'bf16 is slower than fp32 here: training.precision = "bf16" would cost time'
    if found.disk.write_bytes_per_s is None:
        yield "the current folder cannot be written to: give --out a folder that can"
    if found.network:
        yield f"{', '.join(sorted(found.network))}: start by the fedpeft command, which sets them"


def _show(found: Examination) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("", "found", title="fedpeft doctor", box=None, title_justify="left")
    for what, text in rows(found):
        table.add_row(what, text)
    console = Console()
    console.print(table)
    for note in notes(found):
        console.print(f"- {note}", highlight=False, markup=False, soft_wrap=True)  # or [train] is lost


def _gpu_text(gpus: "list[Gpu] | None") -> str:
    if not gpus:
        return "unknown" if gpus is None else "none"
    return ", ".join(f"{gpu.name} ({_size(gpu.memory_bytes)}, bf16 {'yes' if gpu.bf16 else 'no'})" for gpu in gpus)


def _size(size_bytes: int | None) -> str:
    return "unknown" if size_bytes is None else f"{size_bytes / 2**30:.1f} GiB"


def _speed(disk: "Disk") -> str:
    speed = disk.write_bytes_per_s
    return "not writable" if speed is None else f"writes {speed / 1e6:.0f} MB/s"
