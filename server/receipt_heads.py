"""What a run's log of receipts is known by: how many there are of each site, and the digest of the last line."""

from pathlib import Path
from typing import Any  # JSON values

from common.receipts import read_line


def receipt_heads(path: Path) -> dict[str, Any] | None:
    """Return `{"signed", "count", "head", "sites": {site: {"count", "head"}}}`; None where there is no log.

    head: digest of the last line, which the chain makes one of all lines before it; a site's, of its last receipt.
    Whether the log is sound is for `fedpeft journal check`.
    """
    if not path.exists():
        return None
    sites: dict[str, dict[str, Any]] = {}
    head, count = None, 0
    for line in path.read_bytes().splitlines():
        receipt = read_line(line)
        if receipt is None or receipt.seq == 0:
            continue
        head, count = receipt.digest, count + 1
        site = str(receipt.entry.get("site"))
        sites[site] = {"count": sites.get(site, {"count": 0})["count"] + 1, "head": receipt.digest}
    return {"signed": True, "count": count, "head": head, "sites": dict(sorted(sites.items()))}
