"""Where rows and base model are: on the command line, or in a site's settings."""

from pathlib import Path

import pytest

from client.distilling.places import places_of
from client.initialise import initialise
from client.site_folder import SiteFolder
from common.errors import UserError


def test_a_site_s_settings_name_both(lesson, join_file: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def] # conftest's
    site = tmp_path / "site"
    initialise(SiteFolder(site), site="east", join=join_file, data=lesson.rows, base_models=[lesson.base])
    found = places_of(lesson.adapter, data=None, site=site, base_model=None)
    assert [place.resolve() for place in found] == [lesson.rows.resolve(), lesson.base.resolve()]


def test_both_or_neither_is_a_mistake(lesson) -> None:  # type: ignore[no-untyped-def]
    for data, site in ((None, None), (lesson.rows, lesson.rows.parent)):
        with pytest.raises(UserError, match="either with --data FILE or with --site-folder SITE"):
            places_of(lesson.adapter, data=data, site=site, base_model=None)
