"""docs/audit.md names every key of canaries and thresholds with its default, and docs/study.md too."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from common.study_audit import AuditSection, CanariesSection

DOCS = Path(__file__).parent.parent / "docs"
PAGE, STUDY_PAGE = ((DOCS / name).read_text(encoding="utf-8") for name in ("audit.md", "study.md"))


@pytest.mark.parametrize("section", [AuditSection, CanariesSection])
def test_every_key_is_on_both_pages_with_its_default(section: type[BaseModel]) -> None:
    for name, field in section.model_fields.items():
        row = re.search(rf"^\| `{name}` \| (.*?) \|", PAGE, re.MULTILINE)
        assert row is not None, name
        if not field.is_required():
            assert str(field.default) in row[1]
            assert re.search(rf"`{name}` \(`?{re.escape(str(field.default))}", STUDY_PAGE), name
