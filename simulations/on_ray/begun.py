"""With how many workers of Ray a run was begun, which fixes who is played together: kept in the run's folder."""

import json

from common.errors import CheckpointError
from common.files import write_json
from simulations.folder import RunFolder

_FILE = "ray.json"


def begun_with(folder: RunFolder, *, asked: int | None) -> int | None:
    """Return what `begin` wrote; None where the run has not been on Ray. Raises CheckpointError: `asked` is another."""
    path = folder.path / _FILE
    if not path.exists():
        return None
    try:
        workers = int(json.loads(path.read_text())["workers"])
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{path} cannot be read ({type(error).__name__}); the run is lost") from None
    if asked not in (None, workers):
        raise CheckpointError(
            f"{folder.path} holds a run with --workers {workers}, which fixes its bytes; this is --workers {asked}: "
            "give the same, or choose another --out"
        )
    return workers


def begin(folder: RunFolder, workers: int) -> None:
    """Write down with how many workers the run is played from now on."""
    write_json(folder.path / _FILE, {"workers": workers})
