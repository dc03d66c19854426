"""The grid of virtual sites in one process: on it `--runtime inprocess` plays a run, and a worker of Ray its share."""

from collections.abc import Sequence

from client.app import make_app
from simulations.inprocess import InProcessGrid
from simulations.virtual import VirtualSites


def site_grid(sites: VirtualSites, names: Sequence[str]) -> InProcessGrid:
    """Return a grid over the sites of these names, in this order."""
    client = make_app(lambda context: sites.endpoint(names[int(context.node_config["partition-id"])]))
    return InProcessGrid(client, names)
