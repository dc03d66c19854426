"""What Ctrl-C leaves behind, said in one line; the exit code is 130."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer


@contextmanager
def saying_on_interrupt(line: str) -> Iterator[None]:
    """Where Ctrl-C ends the block, print `line`, which says what goes on or is left, and exit with 130."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(line, err=True)
        raise typer.Exit(130) from None
