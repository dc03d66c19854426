"""The code that makes a result, as digests: every source file of the packages, and of the user's own folders.

A strategy is little without what it calls, so its own file alone would let a result outlive a change of, say,
`server/adaptive.py`.
"""

import importlib
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from common.files import digest_file, digest_json

PACKAGES = ("common", "client", "server", "simulations")


@cache  # a process runs the code that it has imported, whatever becomes of the files
def package_digest(packages: Sequence[str] = PACKAGES) -> str:
    """Return one digest of all `*.py` files of these packages, wherever they are installed."""
    folders = {name: importlib.import_module(name).__path__ for name in packages}
    return digest_json({name: [folder_digests(Path(p), "**/*.py") for p in found] for name, found in folders.items()})


def own_digests(folders: Iterable[str]) -> list[dict[str, str]]:
    """Return the digests of the files of each of the user's own folders; where these lie does not matter."""
    return [folder_digests(Path(folder), "*.py") for folder in folders]


def folder_digests(folder: Path, pattern: str) -> dict[str, str]:
    """Return the digest of each file that matches, by its path in the folder."""
    return {path.relative_to(folder).as_posix(): digest_file(path) for path in sorted(folder.glob(pattern))}
