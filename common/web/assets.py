"""Static files of a dashboard: our own from package folders, and plotly's script from its installed package.

Each is read and compressed once. Its address carries its digest, so that a browser keeps it for good and never shows
an old one.
"""

import gzip
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from common.errors import UserError

OWN: Final = Path(__file__).parent / "static"
PLOTLY: Final = "plotly.min.js"
PREFIX: Final = "/static"
TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_KEPT: Final = "public, max-age=31536000, immutable"
_ASKED_AGAIN: Final = "no-cache"
_WORTH_PACKING: Final = 1000


@dataclass(frozen=True)
class Asset:
    """One file's content, its type, and its digest."""

    content: bytes
    type: str
    digest: str


@dataclass(frozen=True)
class Assets:
    """The files by name."""

    paths: Mapping[str, Path]

    def address(self, name: str) -> str:
        """Return the path of a file on the server, with its digest."""
        return f"{PREFIX}/{name}?v={read_asset(self.paths[name]).digest}"

    def answer(self, name: str, request: Request) -> Response:
        """Return the file as the browser asked for it: whole, packed, or `304 Not Modified`."""
        if name not in self.paths:
            return Response("there is no such file\n", status_code=404, media_type="text/plain")
        asset = read_asset(self.paths[name])
        etag = f'"{asset.digest}"'
        kept = request.query_params.get("v") == asset.digest
        headers = {"ETag": etag, "Cache-Control": _KEPT if kept else _ASKED_AGAIN, "Vary": "Accept-Encoding"}
        if etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if len(asset.content) > _WORTH_PACKING and "gzip" in request.headers.get("accept-encoding", ""):
            content = packed(self.paths[name])
            return Response(content, headers={**headers, "Content-Encoding": "gzip"}, media_type=asset.type)
        return Response(asset.content, headers=headers, media_type=asset.type)


def collect(folders: Sequence[Path]) -> Assets:
    """Return the files of our own folder, of these, and plotly's script."""
    own = {path.name: path for folder in (OWN, *folders) for path in folder.iterdir() if path.suffix in TYPES}
    return Assets({**own, PLOTLY: plotly_script()})


def plotly_script() -> Path:
    """Return where the installed plotly has its script, without importing plotly. Raises UserError."""
    spec = find_spec("plotly")
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    found = [path for place in places if (path := Path(place) / "package_data" / PLOTLY).is_file()]
    if not found:
        raise UserError(f"plotly's {PLOTLY} is not installed; install it again: python -m pip install plotly")
    return found[0]


def style_ids(script: bytes) -> list[str]:
    """Return the ids of style elements that plotly's script adds to a page that has none of that id.

    They are for maps, which we do not draw; the policy forbids them, and a browser says so in its console.
    """
    found = re.findall(rb'getElementById\("([0-9a-f]{40,64})"\)', script)
    return sorted({match.decode() for match in found})


@cache
def plotly_style_ids() -> tuple[str, ...]:
    """Return the `style_ids` of the installed plotly."""
    return tuple(style_ids(plotly_script().read_bytes()))


@cache
def read_asset(path: Path) -> Asset:
    """Return a file of an installed package, which does not change while the server runs."""
    content = path.read_bytes()
    return Asset(content, TYPES[path.suffix], hashlib.sha256(content).hexdigest()[:16])


@cache
def packed(path: Path) -> bytes:
    """Return such a file packed with gzip: at the first question, not before the first page."""
    return gzip.compress(read_asset(path).content, 6, mtime=0)
