"""The dashboard of a site from the command line: who may run it, where it listens, what is said at its start."""

from collections.abc import Callable
from pathlib import Path

from client.dashboard.routes import site_app
from client.settings import read_settings
from client.site_folder import SiteFolder
from common.errors import UserError
from common.ownership import check_owner
from common.web.hosts import LOOPBACK_NAMES, hosts_of
from common.web.running import listen, serve
from common.web.token import Token, new_token, write_token

Say = Callable[[str], None]


def serve_site(path: Path, *, host: str, port: int, token_file: Path | None, say: Say) -> None:
    """Show a site until SIGINT or SIGTERM; with a token file, to whoever knows the token that is written there.

    Raises:
        UserError: the folder is no site, or another OS user's; others could read it without a token; nothing can
            listen there.
    """
    folder = SiteFolder(path.resolve())
    read_settings(folder)
    check_owner(folder.path)
    token = token_for(host, token_file)
    with listen(host, port) as listening:
        app = site_app(folder, hosts_of(host), token)
        if token is not None and token_file is not None:
            write_token(token, token_file)
            say(f"the browser asks for a password; it is in {token_file}, and any user name does")
        serve(app, listening, lambda url: say(f"dashboard: {url}  (Ctrl-C ends it; nothing here can be changed by it)"))


def token_for(host: str, token_file: Path | None) -> Token | None:
    """Return a fresh token if there is a file for it. Raises UserError where others reach the host and there is none.

    >>> token_for("127.0.0.1", None) is None
    True
    """
    if token_file is not None:
        return new_token()
    if host.strip("[]").lower() not in LOOPBACK_NAMES:
        raise UserError(
            f"--host {host} can be reached from other machines, so the pages need a password: name a file for it with "
            "--token-file, and put a proxy with TLS in front; or leave --host out, and reach it through ssh -L"
        )
    return None
