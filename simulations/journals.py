"""What the virtual sites' journals are known by: lines and digests. Nobody signs them; a real site's are chained."""

from typing import Any  # JSON values

from common.files import digest_file
from simulations.virtual import VirtualSites


def journals(sites: VirtualSites) -> dict[str, Any]:
    """Return `{"signed", "count", "head", "sites": {site: {"count", "head"}}}`; head is a digest, of the whole file."""
    found = {}
    for site in sorted(sites.rows):
        path = sites.folder.sites / site / "journal.jsonl"
        if path.exists():
            found[site] = {"count": len(path.read_bytes().splitlines()), "head": digest_file(path)}
    return {"signed": False, "count": sum(each["count"] for each in found.values()), "head": None, "sites": found}
