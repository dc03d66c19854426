"""`python -m server.front_door SETTINGS.json` runs one front door."""

import sys
from collections.abc import Sequence
from pathlib import Path

from common.errors import UserError
from server.front_door.running import run
from server.front_door.settings import read_settings


def main(arguments: Sequence[str]) -> int:
    """Run the door that a settings file describes, and return the exit code."""
    try:
        if len(arguments) != 1:
            raise UserError("expected one settings file: python -m server.front_door SETTINGS.json")
        run(read_settings(Path(arguments[0])))
    except UserError as error:
        sys.stderr.write(f"fedpeft: {' '.join(str(error).split())}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
