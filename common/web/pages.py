"""From templates to pages: each extends `shell.html`, the frame that the pages of server and site share."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from common.web.assets import Assets, plotly_style_ids

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES: Final = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Pages:
    """Renders the templates of `folder`, and ours; `asset('web.css')` in a template is that file's address."""

    folder: Path
    assets: Assets

    @cached_property
    def _environment(self) -> "Environment":
        from jinja2 import Environment, FileSystemLoader, StrictUndefined

        environment = Environment(
            loader=FileSystemLoader([self.folder, TEMPLATES]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.globals.update(asset=self.assets.address, plotly_style_ids=plotly_style_ids)
        return environment

    def prepare(self, *templates: str) -> None:
        """Compile templates, so that nobody waits for that."""
        for template in templates:
            self._environment.get_template(template)

    def render(self, template: str, **values: object) -> str:
        """Return a page as HTML; whatever comes in as a value is escaped."""
        return self._environment.get_template(template).render(**values)
