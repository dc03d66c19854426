"""`fedpeft base-model digest`: the same digest for the same files, wherever they are; another one is an error."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from common.command import main

COMMANDS = ["common.base_model_commands"]


def call(*arguments: str | Path) -> int:
    try:
        return main(["base-model", "digest", *map(str, arguments)], commands=COMMANDS)
    except SystemExit as ended:
        return int(ended.code or 0)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "a model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "config.json").write_text("{}")
    return folder


def test_a_copy_has_the_digest_of_the_original(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(model, model.with_name("copy"))
    (model.with_name("copy") / "README.md").write_text("no part of the model")
    assert (call(model), call(model.with_name("copy"))) == (0, 0)
    first, second = capsys.readouterr().out.splitlines()
    assert first == second
    assert first.startswith("sha256:")


def test_another_file_is_found_out(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call(model)
    digest = capsys.readouterr().out.strip()
    assert call(model, "--expect", digest) == 0
    (model / "config.json").write_text("{ }")
    assert call(model, "--expect", digest) == 2
    assert f"the study expects {digest}; it is another model" in capsys.readouterr().err


def test_json_names_each_file_with_its_own_digest(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(model, "--json") == 0
    found = json.loads(capsys.readouterr().out)["files"]
    assert sorted(found) == ["config.json", "model.safetensors"]
    assert found["model.safetensors"] == f"sha256:{hashlib.sha256(b'weights').hexdigest()}"


@pytest.mark.parametrize("name", ["nowhere", "package:no_such_package/model"])
def test_what_is_not_here_is_one_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(name) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_efficientnet_lite_needs_its_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "other.pth").write_bytes(b"other")
    arguments = ["convert-efficientnet-lite", "--out", str(tmp_path / "out"), "--weights", str(tmp_path / "other.pth")]
    assert main(["base-model", *arguments], commands=COMMANDS) == 2
    assert "other.pth has digest sha256:" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
