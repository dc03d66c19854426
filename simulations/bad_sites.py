"""Sites of a simulation that lie, as the study's `simulation.attack` says; real sites read nothing of it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from client.data import Rows
from client.site_rows import split_of
from client.trainer import Trainer
from common import plugins
from common.compression import Compression
from common.errors import NotFiniteError, StudyError
from common.protocol import Answer, Reply, Request, asked_schema
from common.seeds import generator
from common.state import AdapterSchema, AdapterState
from common.study import Study
from simulations.attacks import Attack
from simulations.catalogue import simulation_of


def attacks_of(study: Study, sites: Collection[str]) -> dict[str, Attack]:
    """Return the attack of each bad site, by name. Raises StudyError where it is none of the `sites`."""
    section = simulation_of(study).attack
    if section is None:
        return {}
    unknown = sorted(set(section.sites) - set(sites))
    if unknown:
        raise StudyError(f"simulation.attack.sites: {unknown[0]!r} is none of the sites: {', '.join(sorted(sites))}")
    attack: Attack = plugins.build("simulations.attacks", section.name, section.options, key="simulation.attack.name")
    return dict.fromkeys(section.sites, attack)


def poisoned(sites: Mapping[str, Rows], study: Study, attacks: Mapping[str, Attack]) -> dict[str, Rows]:
    """Return the rows of all sites, the training rows of bad ones with the labels that they train on."""
    return {site: _mislabelled(rows, study, attacks[site]) if site in attacks else rows for site, rows in sites.items()}


def _mislabelled(rows: Rows, study: Study, attack: Attack) -> Rows:
    train, labels = split_of(rows, study).train, rows.labels.copy()
    labels[train] = attack.mislabelled(labels[train], classes=len(study.task.labels))
    return replace(rows, labels=labels)


@dataclass(frozen=True)
class BadSite:
    """A site whose update is forged after its own gate has let it out: the same lie each time it is asked."""

    trainer: Trainer
    attack: Attack

    @property
    def name(self) -> str:
        """The site's name."""
        return self.trainer.name

    @property
    def schema(self) -> AdapterSchema:
        """The whole adapter of the study."""
        return self.trainer.schema

    @property
    def compression(self) -> Compression:
        """How the study has updates compressed."""
        return self.trainer.compression

    def answer(self, request: Request) -> Answer:
        """Return what the site would say, with another update."""
        answer = self.trainer.answer(request)
        if not isinstance(answer, Reply) or request.kind != "train":
            return answer
        rng = generator(request.seed, round_number=request.round, site=self.name, purpose="attack")
        asked = asked_schema(self.schema, request.kind, request.plan)
        honest = self.compression.decompress(answer.update, asked)
        return replace(answer, update=self._as_it_leaves(self.attack.forged(honest, request.shared, rng=rng), rng))

    def _as_it_leaves(self, forged: AdapterState, rng: np.random.Generator) -> AdapterState:
        """Compress a lie as the study says; one that cannot be compressed leaves as it is, for admission to see."""
        try:
            return self.compression.compress(forged, {}, rng)[0]
        except NotFiniteError:
            return forged
