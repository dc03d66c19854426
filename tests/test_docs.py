"""docs/study.md names every key of a study, and none that does not exist."""

from pathlib import Path

from pydantic import BaseModel

from common.study import Study

STUDY_PAGE = (Path(__file__).parent.parent / "docs" / "study.md").read_text(encoding="utf-8")


def test_every_key_of_a_study_is_on_the_page() -> None:
    missing = []
    for name, field in Study.model_fields.items():
        kind = field.annotation
        inner = list(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else []
        missing += [f"{name}.{key}" for key in inner if f"`{key}`" not in STUDY_PAGE]
        if f"`{name}`" not in STUDY_PAGE and f"`[{name}]`" not in STUDY_PAGE:
            missing.append(name)

    assert missing == []
