"""What a site's training changed, as it may leave: at the site's own rank, turned as the plan says, minus what came."""

from collections.abc import Sequence

from client.rotation import rotated
from common.protocol import Request
from common.rank_slices import sliced
from common.state import AdapterState, Array, subtract


def update_of(trained: AdapterState, request: Request, names: Sequence[str]) -> dict[str, Array]:
    """Return trained - received of the named tensors; `trained` has the study's shapes, the request the site's."""
    cut = sliced(trained, request.plan.rank)
    received = {name: request.shared[name] for name in names}
    return subtract(rotated({name: cut[name] for name in names}, received, request.plan.extra), received)
