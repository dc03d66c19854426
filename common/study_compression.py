"""`compression` of a study: how sites compress their updates."""

from typing import Any  # options of plugins are typed by the plugins

from pydantic import BaseModel, ConfigDict

from common.data_schema import FROZEN


class CompressionSection(BaseModel):
    """The compression of updates; keys other than `method` are the method's own options."""

    model_config = ConfigDict(**{**FROZEN, "extra": "allow"})
    method: str = "none"

    @property
    def options(self) -> dict[str, Any]:
        """The method's own options."""
        return dict(self.model_extra or {})
