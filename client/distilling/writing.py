"""The student's folder as others read it: transformers, a few lines of PyTorch, and `fedpeft predict --adapter`."""

import shutil
from pathlib import Path
from typing import Final

from client.distilling.student import write_model
from common.adapter_folder import write_adapter
from common.bundle import Bundle
from common.files import write_bytes
from common.preparation import prepare
from common.state import HEAD
from common.study import Study
from common.tensor_files import to_safetensors
from common.workbench import Workbench

HERE: Final = "dir:student"
"""A student's own base model: `common.adapter_reference` looks beside the adapter."""
CARD: Final = "The head of a student, as an adapter over the model in the folder above; see the README.md there.\n"


def student_study(study: Study) -> Study:
    """Return the study of a student: the same task and rows, its own base model, of which the head alone is adapter."""
    return Study.model_validate({
        "name": f"{study.name[:55]}-student",
        "description": f"A student of {study.name}, made on one site's own rows",
        "seed": study.seed,
        "base_model": {"source": HERE},
        "peft": {"method": "head"},
        "task": study.task.model_dump(mode="json"),
        "data": study.data.model_dump(mode="json"),
        "training": {"precision": study.training.precision},
        "evaluation": study.evaluation.model_dump(mode="json"),
    })  # fmt: skip


def study_of_all(study: Study) -> Study:
    """Return the study in which the student learns: all of it is trained."""
    return study.model_copy(update={"peft": study.peft.model_copy(update={"method": "full"})})


def write_student(bench: Workbench, study: Study, folder: Path) -> Bundle:
    """Write what is in the workbench, its head as an adapter too, and return the bundle of the student's study."""
    write_model(bench.model, folder)
    head = {name: array for name, array in bench.read().items() if name.startswith(HEAD)}
    write_bytes(folder / "head.safetensors", to_safetensors(head))
    bundle = prepare(study, folder, folder / "bundle")  # last: what is in the folder by now has a digest
    shutil.rmtree(folder / "bundle")
    write_adapter(folder / "adapter", bundle, head, card=CARD)
    shutil.copyfile(folder / "adapter" / "task.json", folder / "task.json")
    return bundle
