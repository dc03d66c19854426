"""`privacy` of a study: what guarantee it gives, and of whom."""

from typing import Any  # options of plugins are typed by the plugins

from pydantic import BaseModel, ConfigDict

from common.data_schema import FROZEN


class PrivacySection(BaseModel):
    """The privacy mechanism; keys other than `mechanism` are the mechanism's own options.

    `none` adds no noise and promises nothing beyond what stays at home.
    """

    model_config = ConfigDict(**{**FROZEN, "extra": "allow"})
    mechanism: str = "none"

    @property
    def options(self) -> dict[str, Any]:
        """The mechanism's own options."""
        return dict(self.model_extra or {})
