"""Log entries with text of another machine in them: it forges no entry, and no terminal obeys it."""

import logging

from common.visible import visible

FORMAT = "%(asctime)s %(name)s %(levelname)s %(message)s"
INDENT = "    "


class EntryFormatter(logging.Formatter):
    """Begins an entry's first line at the margin and no other, a traceback's and a message's further lines included."""

    def __init__(self, form: str = FORMAT) -> None:
        super().__init__(form)

    def format(self, record: logging.LogRecord) -> str:
        """Return the whole text of an entry."""
        return f"\n{INDENT}".join(map(visible, super().format(record).split("\n")))


def log_to_stderr(level: int) -> None:
    """Let this process write its log to standard error in this form."""
    handler = logging.StreamHandler()
    handler.setFormatter(EntryFormatter())
    logging.basicConfig(level=level, handlers=[handler])
