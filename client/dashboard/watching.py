"""A site as `common.web.event_stream.news` watches it: its position is that of the journal."""

from pathlib import Path

from client.site_folder import SiteFolder
from common.files import digest_json
from common.web.event_stream import Look


def look(folder: SiteFolder) -> Look:
    """Look at what the pages are made of: names, sizes and times of files, no content."""
    files = (folder.journal, folder.step_log, folder.policy, folder.settings, folder.paused, folder.approved)
    stamps = [_stamp(path) for path in (*files, folder.ledger / "charges")]
    approved = [_stamp(path) for path in sorted(folder.approved.glob("[!.]*/approval.json"))]
    journal = stamps[0]
    version = digest_json([stamps, approved]).removeprefix("sha256:")[:16]
    position = journal[1] if journal else 0
    return Look(stamps[3] is not None, position, version, {"position": position, "version": version})


def _stamp(path: Path) -> list[int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_ino, found.st_size, found.st_mtime_ns]
