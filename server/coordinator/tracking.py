"""Where a coordinator has its runs tracked to, by `[tracking]` of its `server.toml`."""

from pathlib import Path

from server.coordinator.folder import CoordinatorFolder
from server.coordinator.settings import read_settings
from server.tracking.destination import Destination, destination


def tracking_of(coordinator: Path) -> list[Destination]:
    """Return the destinations; folders count from the coordinator's.

    Raises:
        UserError: one is wrong. What is written there is not repeated, since it may hold a password.
    """
    settings = read_settings(CoordinatorFolder(coordinator).settings)
    return [destination(text, base=coordinator) for text in settings.tracking.to]
