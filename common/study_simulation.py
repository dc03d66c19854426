"""`[simulation]` of a study: where a simulation takes its rows, and what it plants. Real sites ignore it."""

from typing import Any, Self  # options of plugins are typed by the plugins

from pydantic import BaseModel, Field, model_validator

from common.data_schema import FROZEN, OPEN
from common.names import SiteName
from common.study_audit import AuditSection, CanariesSection


class PartitionSection(BaseModel):
    """How rows without a site column go to virtual sites; keys other than these are the partition's own options."""

    model_config = OPEN
    name: str
    sites: int = Field(ge=1)

    @property
    def options(self) -> dict[str, Any]:
        """The partition's own options."""
        return dict(self.model_extra or {})


class AttackSection(BaseModel):
    """Which sites of a simulation are bad, and how; keys other than these are the attack's own options."""

    model_config = OPEN
    name: str
    sites: tuple[SiteName, ...] = Field(min_length=1)

    @property
    def options(self) -> dict[str, Any]:
        """The attack's own options."""
        return dict(self.model_extra or {})


class KnownRowsSection(BaseModel):
    """Rows that an earlier phase had, at these sites (none named: at all)."""

    model_config = FROZEN
    data: str
    sites: tuple[SiteName, ...] = ()


class SimulationSection(BaseModel):
    """Where a simulation takes its rows: a path (relative to the study file) or `builtin:NAME`.

    comparison: whether every site is also trained alone, and all rows together: too much for thousands of sites.
    without: rows that are left out where they are among `data`, so that a further phase trains on what is new.
    """

    model_config = FROZEN
    data: str
    without: tuple[KnownRowsSection, ...] = ()
    site_column: str | None = None
    partition: PartitionSection | None = None
    attack: AttackSection | None = None
    canaries: CanariesSection | None = None
    audit: AuditSection = AuditSection()
    comparison: bool = Field(default=True, description="train the rivals too, unless the command says otherwise")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.site_column is None) == (self.partition is None):
            raise ValueError("give either site_column or partition")
        return self
