"""A version as people name it: NAME, which means the promoted one, or NAME@3; after a registry's folder, a path."""

from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError
from common.registry.layout import ModelFolder
from common.registry.store import Registry


@dataclass(frozen=True)
class Reference:
    """A model's name and a version's number; None means the promoted version."""

    name: str
    number: int | None = None


def parse(text: str) -> Reference:
    """Return what NAME or NAME@N means.

    Raises:
        UserError: what follows the @ is no number.

    >>> parse("heart@3"), parse("heart").number
    (Reference(name='heart', number=3), None)
    """
    name, at, number = text.partition("@")
    if at and not (number.isascii() and number.isdecimal() and int(number) > 0):
        raise UserError(f"{text!r}: expected NAME@N with the number of a version, such as {name}@1")
    return Reference(name, int(number) if at else None)


def resolve(registry: Registry, reference: Reference) -> int:
    """Return the number that a reference means. Raises UserError: no version is promoted."""
    if reference.number is not None:
        return reference.number
    number = registry.current(reference.name).version
    if number is None:
        raise UserError(
            f"no version of {reference.name} is promoted; name one, such as {reference.name}@1, or promote one: "
            f"fedpeft registry promote {reference.name}@1"
        )
    return number


def version_at(named: Path) -> tuple[Registry, Reference] | None:
    """Return registry and reference of a path REG/NAME or REG/NAME@N; None where there is no such name."""
    name, _, _ = named.name.partition("@")
    if not name or not ModelFolder(named.parent / name).versions.is_dir():
        return None
    return Registry(named.parent), parse(named.name)
