"""`KIND=TARGET`: what there is, and what is said of what there is not."""

from pathlib import Path

import pytest

from common.errors import UserError
from server.tracking.destination import destination, missing_package


def test_a_folder_counts_from_the_base_and_says_itself_again(tmp_path: Path) -> None:
    found = destination("tensorboard=boards/a b", base=tmp_path)
    assert found.text == f"tensorboard={tmp_path.resolve()}/boards/a b"
    assert destination(found.text, base=Path("/elsewhere")) == found


@pytest.mark.parametrize("text", ["csv", "tensorboard", "mlflow=http://127.0.0.1:5000"])
def test_a_text_says_itself_again(text: str) -> None:
    assert destination(text, base=Path()).text == text


@pytest.mark.parametrize(
    ("text", "said"),
    [("wandb", "there are: csv, mlflow, tensorboard"), ("mlflow=", "nothing stands behind"), ("mlflow", "expected")],
)
def test_what_is_wrong_is_said(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        destination(text, base=Path())


def test_a_library_that_is_there_is_not_missing() -> None:
    assert [missing_package(kind) for kind in ("csv", "mlflow", "tensorboard")] == [None, None, None]
