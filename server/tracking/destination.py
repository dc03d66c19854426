"""Where a run is tracked to, as `KIND` or `KIND=TARGET` says it: the registry is the folder `server/trackers`."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from common import plugins
from common.errors import UserError
from server.trackers import Place

PACKAGE: Final = "server.trackers"
EXTRA: Final = "tracking"
_LIBRARIES: Final = {"mlflow": "mlflow", "tensorboard": "tensorboard"}
_FOLDERS: Final = frozenset({"tensorboard"})
"""Kinds whose target is a folder."""


@dataclass(frozen=True)
class Destination:
    """One place to track to; `text` says it again on a command line, with a folder's path in full."""

    kind: str
    text: str
    place: Place


def destination(text: str, *, base: Path) -> Destination:
    """Return the destination that `text` says; a folder counts from `base`.

    Raises:
        UserError: there is no such kind, or its target is wrong.
    """
    kind, is_given, target = text.partition("=")
    if is_given and not target:
        raise UserError(f"tracking to {text!r}: nothing stands behind the equals sign")
    known = plugins.available(PACKAGE)
    if kind not in known:
        raise UserError(f"tracking to {kind!r} does not exist; there are: {', '.join(known)}")
    if target and kind in _FOLDERS:
        target = str((base / Path(target).expanduser()).resolve())
    try:
        place = plugins.load(PACKAGE, kind, key="tracking").build(target)
    except ValueError as error:
        raise UserError(f"tracking to {kind}: {error}") from None
    return Destination(kind, f"{kind}={target}" if target else kind, place)


def missing_package(kind: str) -> str | None:
    """Return what to install where a kind's library is not there, else None."""
    library = _LIBRARIES.get(kind)
    if library is None or find_spec(library) is not None:
        return None
    return f"tracking to {kind} needs the package {library!r}: pip install 'fedpeft[{EXTRA}]'"
