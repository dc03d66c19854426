"""What the SuperLink knows of each key. `flwr supernode list` shows no key, so its Control API is asked itself.

The only file of the coordinator's that knows these names of Flower, which are private to it and move with its releases.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError
from common.loopback import LOOPBACK
from server.coordinator.certificates import CertificateFolder
from server.coordinator.folder import CoordinatorFolder
from server.coordinator.ports import read_ports

_GONE = "unregistered"


@dataclass(frozen=True)
class Node:
    """One node. status: Flower's word: registered, online, offline, or unregistered, which is for good."""

    node_id: str
    status: str

    @property
    def is_gone(self) -> bool:
        """Whether the SuperLink lets it in no more; it takes its key never again."""
        return self.status == _GONE


def nodes_by_key(coordinator: Path) -> Mapping[bytes, Node]:
    """Return every node that was ever registered, by its transport key in PEM without a last newline.

    Raises:
        UserError: the SuperLink does not answer.
    """
    import httpx  # with flwr, half a second
    from flwr.proto.control_pb2 import ListNodesRequest
    from flwr.supercore.control import ControlHttpClient
    from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor

    folder = CoordinatorFolder(coordinator)
    address = f"{LOOPBACK}:{read_ports(folder).link}"
    ca = CertificateFolder(folder.certificates).link_ca.certificate.read_bytes()
    version = RuntimeVersionHttpInterceptor(component_name="flwr CLI")
    client = ControlHttpClient.from_server_address(address, False, ca, [version])
    try:
        found = client.ListNodes(ListNodesRequest()).nodes_info
    except httpx.HTTPError as error:
        raise UserError(f"the SuperLink does not say which sites it knows ({error}); logs/superlink.log") from None
    finally:
        client.close()
    return {node.public_key.strip(): Node(str(node.node_id), node.status) for node in found}
