"""The front door for production: an nginx configuration with the rules of `server.front_door`.

nginx takes the sites' connections, and bounds them, requests in flight and requests a second. With a holder, a front
door in the role `holder` on the loopback, the rules are those of the embedded door, since nginx passes it all that
sites sign: it holds the long polls, bounds the bytes that a peer sends over time, counts an IPv6 host by its /64, and
passes each signed time on once. nginx can do none of these four: without a holder there is none of them.
"""

import math
from pathlib import Path

from common.errors import UserError
from server.front_door.allowed import ALLOWED
from server.front_door.headers import CLAIMED, PEER
from server.front_door.settings import Limits

TEMPLATES = Path(__file__).parent / "templates"


def render(
    *,
    folder: Path,
    host: str,
    port: int,
    certificate: Path,
    key: Path,
    upstream_port: int,
    upstream_ca: Path,
    holder_port: int | None = None,
    limits: Limits | None = None,
    workers: int = 2,
) -> str:
    """Return a whole configuration, for `nginx -c FILE -p FOLDER`; needs nginx 1.18 or later.

    Args:
        folder: for nginx's process id, error log (no addresses) and unused temporary folders; it must exist.
        host, port: where sites are awaited; :: is every address of both kinds.
        certificate, key: the public certificate.
        upstream_port, upstream_ca: SuperLink's on the loopback, and the authority of its certificate for localhost.
        holder_port: of a front door in the role `holder`; None sends all to the SuperLink at once, with less looked at.
        limits: as those of the front door; times are rounded up to whole milliseconds.

    Raises:
        UserError: a path cannot be written into an nginx configuration.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals.update(quoted=quoted, seconds=seconds)
    return environment.get_template("nginx.conf").render(
        allowed=ALLOWED,
        certificate=certificate,
        claimed=sorted(name.decode() for name in CLAIMED),
        folder=folder,
        holder_port=holder_port,
        key=key,
        limits=limits or Limits(),
        peer=PEER.decode(),
        listen=listen_address(host, port),
        upstream_ca=upstream_ca,
        upstream_port=upstream_port,
        workers=workers,
    )


def quoted(path: Path) -> str:
    """Return a path as nginx takes it. Raises UserError where it holds what nginx would read as something else.

    >>> quoted(Path("/srv/my door"))
    '"/srv/my door"'
    """
    text = str(path)
    if not path.is_absolute() or any(letter in '"\\$' or not letter.isprintable() for letter in text):
        raise UserError(f'{text!r} cannot stand in an nginx configuration: give an absolute path without ", \\ and $')
    return f'"{text}"'


def seconds(value: float) -> str:
    """Return a time as nginx takes it.

    >>> seconds(2.5)
    '2500ms'
    """
    return f"{math.ceil(1000 * value)}ms"


def listen_address(host: str, port: int) -> str:
    """Return the address of nginx's `listen`.

    >>> listen_address("0.0.0.0", 443), listen_address("::", 443)
    ('0.0.0.0:443', '[::]:443 ipv6only=off')
    """
    if ":" not in host:
        return f"{host}:{port}"
    return f"[{host}]:{port}" + (" ipv6only=off" if host == "::" else "")
