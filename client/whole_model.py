"""A model that was exported whole: base, adapter and head of a study in one folder, as `fedpeft export` writes it.

fedpeft.json                 its format, the study, and digests
config.json                  the base model's, with tokenizer or image settings beside it
model.safetensors            the base model's weights: with the adapter merged, or in 8 bits (`client.int8_weights`)
head.safetensors             the task's head, where the adapter is merged; else
trained.safetensors          adapter and head, as they travel
task.json, README.md         labels and how to pool; how it is used
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from common.adapter_folder import FACTS
from common.errors import BundleError
from common.files import digest_file, write_json
from common.study import PeftSection, Study

WEIGHTS = "model.safetensors"
HEAD_FILE, TRAINED_FILE = "head.safetensors", "trained.safetensors"


@dataclass(frozen=True)
class WholeModel:
    """What is written of it. format: `merged`, `int8`. merged: whether the adapter is in the weights."""

    format: str
    study: Study
    merged: bool
    digests: Mapping[str, str]

    @property
    def study_to_open(self) -> Study:
        """The study, by whose method nothing is left to attach where the adapter is merged."""
        return self.study.model_copy(update={"peft": PeftSection(method="head")}) if self.merged else self.study

    @property
    def trained_file(self) -> str:
        """The file of what is not in the base model's weights."""
        return HEAD_FILE if self.merged else TRAINED_FILE


def is_whole_model(folder: Path) -> bool:
    """Whether `folder` holds such a model; an adapter's folder does not."""
    try:
        return isinstance(json.loads((folder / FACTS).read_text(encoding="utf-8"))["format"], str)
    except (OSError, ValueError, LookupError, TypeError):
        return False


def write_facts(folder: Path, whole: WholeModel) -> None:
    """Write fedpeft.json, last: the digests of the weights beside it are added."""
    files = {name: digest_file(folder / name) for name in (WEIGHTS, whole.trained_file) if (folder / name).is_file()}
    write_json(folder / FACTS, {
        "format": whole.format,
        "study": whole.study.model_dump(mode="json"),
        "merged": whole.merged,
        "digests": dict(whole.digests),
        "files": files,
    })  # fmt: skip


def read_whole_model(folder: Path) -> WholeModel:
    """Read what is written of it. Raises BundleError: damaged, or a file of weights is not what it was."""
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        study, digests = Study.model_validate(facts["study"]), {k: str(v) for k, v in facts["digests"].items()}
        whole = WholeModel(str(facts["format"]), study, bool(facts["merged"]), digests)
        changed = [name for name, digest in facts["files"].items() if digest_file(folder / name) != digest]
    except OSError as error:
        raise BundleError(f"the export in {folder} lacks {Path(error.filename or FACTS).name}; export again") from None
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise BundleError(f"the export in {folder} is damaged ({type(error).__name__}); export again") from None
    if changed:
        raise BundleError(f"{changed[0]} in {folder} does not have the digest that {FACTS} states; it was changed")
    return whole
