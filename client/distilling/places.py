"""Where a site's rows and base model are: as the command line names them, or the settings of a site's folder."""

from pathlib import Path

from client.settings import read_settings
from client.site import find_base_model
from client.site_folder import SiteFolder
from common.adapter_folder import read_adapter
from common.adapter_reference import base_folder
from common.errors import UserError


def places_of(adapter: Path, *, data: Path | None, site: Path | None, base_model: Path | None) -> tuple[Path, Path]:
    """Return the file of rows and the folder of the base model. Raises UserError where both or neither name rows."""
    if (data is None) == (site is None):
        raise UserError("give the site's own rows, either with --data FILE or with --site-folder SITE")
    if site is None:
        assert data is not None  # checked above
        return data, base_folder(adapter, base_model)
    settings = read_settings(SiteFolder(site))
    if base_model is not None:
        return settings.rows, base_folder(adapter, base_model)
    return settings.rows, find_base_model(settings, read_adapter(adapter).study)
