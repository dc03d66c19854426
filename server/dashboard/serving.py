"""A dashboard over some runs, from the command line: where it listens, who may write, what is said at its start."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from common.web.hosts import LOOPBACK_NAMES, hosts_of
from common.web.running import listen, serve, serving
from common.web.token import Token, new_token, write_token
from server.dashboard.folders import Source
from server.dashboard.live import Live
from server.dashboard.routes import dashboard_app

Say = Callable[[str], None]


def serve_runs(source: Source, *, host: str, port: int, token_file: Path | None, say: Say) -> None:
    """Show the runs of `source` until SIGINT or SIGTERM; a coordinator's can be cancelled and resumed with a token.

    Raises:
        UserError: nothing can listen there, or the token's file cannot be written.
    """
    with listen(host, port) as listening:
        token = new_token() if source.kind == "coordinator" else None
        live = Live(source)
        app = dashboard_app(live, hosts_of(host), token)
        threading.Thread(target=live.read_ahead, name="reading ahead", daemon=True).start()
        serve(app, listening, lambda url: _say_all(say, url, host, token, token_file))


def _say_all(say: Say, url: str, host: str, token: Token | None, token_file: Path | None) -> None:
    say(f"dashboard: {url}")
    if token is not None and token_file is not None:
        write_token(token, token_file)
        say(f"the token for cancel and resume is in {token_file}")
    elif token is not None:
        say(f"the token for cancel and resume, until this ends: {token.text}")
    if host not in LOOPBACK_NAMES:
        say("others can reach it, unencrypted; put a proxy with TLS and a log-in in front")


@contextmanager
def showing(source: Source, *, port: int, say: Say) -> Iterator[None]:
    """Show the runs of `source` on the loopback while the block runs, which writes them. Raises UserError."""
    listening = listen("127.0.0.1", port)
    with serving(dashboard_app(Live(source), hosts_of("127.0.0.1"), None), listening) as url:
        say(f"dashboard: {url}")
        yield
