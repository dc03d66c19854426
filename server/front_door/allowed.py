"""What a site may ask of the SuperLink: exact methods and paths, the same for every front door."""

from types import MappingProxyType

FLEET = (
    "activate-node",
    "send-node-heartbeat",
    "pull-messages",
    "get-run",
    "get-fab",
    "pull-object",
    "confirm-message-received",
    "push-messages",
    "push-object",
    "deactivate-node",
)
"""All that a SuperNode of Flower 1.41 uses, each a POST under /v1/fleet/."""

PULL_MESSAGES = "/v1/fleet/pull-messages"
HEALTH = "/health"
OF_A_RUN = frozenset(
    f"/v1/fleet/{name}" for name in ("get-run", "get-fab", "pull-object", "push-messages", "push-object")
)
"""What is asked only while a run is under way."""

ALLOWED = MappingProxyType({**{f"/v1/fleet/{name}": "POST" for name in FLEET}, HEALTH: "GET"})
"""The one method of each path."""

BEHIND_NGINX = MappingProxyType({path: method for path, method in ALLOWED.items() if path != HEALTH})
"""What comes here where nginx is the door: whatever a site signs. It asks for health itself."""


def is_allowed(method: str, raw_path: bytes, query: bytes, *, allowed: MappingProxyType[str, str] = ALLOWED) -> bool:
    """Whether a site may ask this: the path as it was sent, byte for byte, nothing decoded or normalised, no query.

    >>> is_allowed("POST", b"/v1/fleet/get-run", b"")
    True
    >>> is_allowed("POST", b"/v1/fleet/get%2Drun", b"")
    False
    """
    return not query and allowed.get(raw_path.decode("latin-1")) == method
