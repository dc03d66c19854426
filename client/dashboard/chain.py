"""Whether the journal's receipts are whole: each signed by this site's key and linked to the one before."""

from pathlib import Path
from threading import Lock

from client.dashboard.cells import Note, count
from client.site_folder import SiteFolder
from common.errors import UserError
from common.keys import public_text, read_signing_key
from common.receipt_check import Log, Problem, problems, read_log

_SHOWN = 5
_Stamp = tuple[int, int, int]


class ChainCheck:
    """Checks a site's journal, once for each state of the file."""

    def __init__(self, folder: SiteFolder) -> None:
        self._folder = folder
        self._lock = Lock()
        self._known: tuple[_Stamp, list[Note]] | None = None

    def notes(self) -> list[Note]:
        """Return what there is to say, in lines; the first says whether the chain holds."""
        with self._lock:
            try:
                stamp = _stamp(self._folder.journal)
                if self._known is None or self._known[0] != stamp:
                    self._known = stamp, _notes(self._folder)
            except FileNotFoundError:
                return [Note("There is no journal: nothing was asked of this site yet, or the file was moved away.")]
            except (UserError, OSError) as error:
                return [Note(f"Whether the journal is whole is not known: {said(error)}", "bad")]
            return self._known[1]


def _stamp(path: Path) -> _Stamp:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _notes(folder: SiteFolder) -> list[Note]:
    log = read_log(folder.journal, public_text(read_signing_key(folder.signing_key)))
    return verdict(log, problems(log))


def verdict(log: Log, found: list[Problem]) -> list[Note]:
    """Return the lines on a log with these problems; what a stopped writer left unfinished is no sign of tampering."""
    grave = [each for each in found if each.kind != "torn"]
    number = len(log.receipts)
    receipts = f"{count(number)} receipt{'' if number == 1 else 's'}"
    head = (
        Note(f"The journal is NOT whole: {len(grave)} of its lines are wrong, of {receipts}.", "bad")
        if grave
        else Note(
            f"The journal is whole: {receipts}, each signed by this site's key and linked to the one before.", "good"
        )
    )
    lines = [
        Note(f"line {each.line}: {each.what}", "warn" if each.kind == "torn" else "bad") for each in found[:_SHOWN]
    ]
    more = (
        [Note(f"and {len(found) - _SHOWN} more; fedpeft journal verify lists them", "bad")]
        if len(found) > _SHOWN
        else []
    )
    return [head, *lines, *more]


def said(error: UserError | OSError) -> str:
    """Return an error as one line; of the system's, without the file's path."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return " ".join(str(error).split())
