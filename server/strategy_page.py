"""Writes the table of `docs/strategies.md` from the strategies' files: `python -m server.strategy_page`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from common import plugins
from server.strategy_facts import PACKAGE, facts_of, markdown

START: Final = "<!-- strategies: begin -->"
END: Final = "<!-- strategies: end -->"


def main(arguments: Sequence[str]) -> int:
    """Write the table into the page."""
    parser = argparse.ArgumentParser(prog="python -m server.strategy_page", description=__doc__)
    parser.add_argument("page", nargs="?", type=Path, default=Path("docs/strategies.md"))
    page: Path = parser.parse_args(arguments).page
    page.write_text(with_table(page.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


def with_table(text: str) -> str:
    """Return the page with the table of all strategies that fedpeft ships between its two marks."""
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise SystemExit(f"the page lacks {START} or {END}; put both where the table belongs")
    table = markdown(facts_of(name) for name in plugins.available(PACKAGE))
    return f"{before}{START}\n{table}\n{END}{after}"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
