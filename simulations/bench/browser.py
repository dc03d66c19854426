"""A headless Chromium of this machine, for pictures of pages, for how soon they are there, and for their tests."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final  # the browser's library is installed for development only

from common.errors import UserError

BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome", "chrome")


def installed() -> str | None:
    """Return the path of the installed browser, None where there is none."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


@contextmanager
def browsing() -> Iterator[Any]:
    """Yield a browser. Raises UserError: none is installed."""
    from playwright.sync_api import sync_playwright

    path = installed()
    if path is None:
        raise UserError("there is no Chromium on this machine; install it (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()
