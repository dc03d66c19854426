"""`[tracking]` of server.toml: folders count from the coordinator's, and a secret in it is not repeated."""

from pathlib import Path

import pytest

from common.errors import UserError
from server.coordinator.tracking import tracking_of


def written(folder: Path, to: str) -> Path:
    (folder / "server.toml").write_text(f'name = "n"\nhosts = ["a.example"]\n[tracking]\nto = {to}\n')
    return folder


def test_destinations_are_read(tmp_path: Path) -> None:
    found = tracking_of(written(tmp_path, '["csv", "tensorboard=board", "mlflow=http://127.0.0.1:5000"]'))
    assert [each.text for each in found] == [
        "csv",
        f"tensorboard={tmp_path.resolve()}/board",
        "mlflow=http://127.0.0.1:5000",
    ]


@pytest.mark.parametrize("text", ["mlflow=http://me:hunter2@a", "mlflow=https://a/?key=hunter2"])
def test_a_secret_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match="MLFLOW_TRACKING_PASSWORD") as caught:
        tracking_of(written(tmp_path, f'["{text}"]'))
    assert "hunter2" not in str(caught.value)
