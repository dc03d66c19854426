"""The grid of virtual sites in one process: on it `--runtime inprocess` plays a run, and a worker of Ray its share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flwr.app import Message

from client.app import SiteEndpoint, make_app
from client.trainer import Trainer
from common.errors import RefusedError, SchemaError
from simulations.engine.ahead import Ahead, Asked, WorkAhead
from simulations.engine.engine import Engine
from simulations.inprocess import InProcessGrid
from simulations.one_reading import OneReading
from simulations.virtual import VirtualSites


def site_grid(sites: VirtualSites, names: Sequence[str], *, engine: Engine | None) -> InProcessGrid:
    """Return a grid over the sites of these names, in this order; with an engine they are computed in groups."""
    sites.disks.look()  # a process that is gone may have answered for some of them
    if engine is None:
        return InProcessGrid(make_app(lambda c: sites.endpoint(names[int(c.node_config["partition-id"])])), names)
    together = _Together(sites, Ahead(engine))
    app = make_app(lambda c: together.endpoint(names[int(c.node_config["partition-id"])]), together.reading.read)
    return InProcessGrid(app, names, ahead=together)


@dataclass(frozen=True)
class _Together:
    """Has the engine compute for the sites that messages wait for."""

    sites: VirtualSites
    ahead: Ahead
    reading: OneReading = field(default_factory=OneReading)
    _trainers: dict[str, Trainer] = field(default_factory=dict)

    def endpoint(self, site: str) -> SiteEndpoint:
        """Return what answers for a site, from what was computed ahead."""
        return self.sites.answering(self._trainer(site))

    def _trainer(self, site: str) -> Trainer:
        if site not in self._trainers:
            self._trainers[site] = self.sites.trainer(site, WorkAhead(self.ahead, site))
        return self._trainers[site]

    def arranged(self, waiting: Mapping[str, tuple[str, Message]]) -> list[str]:
        """Return the ids of messages in the order in which they are best handled; ids and sites of those that wait."""
        asked = {site: self._asked(site, message) for site, message in waiting.values()}
        order = self.ahead.expect(each for each in asked.values() if each is not None)
        place = {site: number for number, site in enumerate(order)}
        return sorted(waiting, key=lambda message_id: place.get(waiting[message_id][0], len(place)))

    def done(self, site: str) -> None:
        """Forget a site that has answered."""
        self._trainers.pop(site, None)
        if not self._trainers:
            self.reading.forget()
        self.ahead.done(site)

    def _asked(self, site: str, message: Message) -> Asked | None:
        """Return what a message asks a site; None where its ClientApp has to find out."""
        trainer = self._trainer(site)
        try:
            return Asked(trainer, self.reading.read(message.content, trainer.schema))
        except (RefusedError, SchemaError):
            return None
