"""What the virtual sites' journals are known by: lines and digests. Nobody signs them; a real site's are chained."""

from collections import Counter
from hashlib import sha256
from typing import Any  # JSON values, and a hash

from common.files import digest_file
from simulations.crowd.journal import lines
from simulations.virtual import VirtualSites


def journals(sites: VirtualSites) -> dict[str, Any]:
    """Return `{"signed", "count", "head", "sites": {site: {"count", "head"}}}`; head is a digest, of the whole file."""
    found = _of_folders(sites) | _of_crowd(sites)
    return {"signed": False, "count": sum(each["count"] for each in found.values()), "head": None, "sites": found}


def _of_folders(sites: VirtualSites) -> dict[str, dict[str, Any]]:
    found = {}
    for site in sorted(sites.rows):
        path = sites.folder.sites / site / "journal.jsonl"
        if path.exists():
            found[site] = {"count": len(path.read_bytes().splitlines()), "head": digest_file(path)}
    return found


def _of_crowd(sites: VirtualSites) -> dict[str, dict[str, Any]]:
    counts, digests = Counter[str](), dict[str, Any]()
    for site, line in lines(sites.folder.crowd):
        counts[site] += 1
        digests.setdefault(site, sha256()).update(line)
    return {site: {"count": counts[site], "head": f"sha256:{digests[site].hexdigest()}"} for site in sorted(counts)}
