"""From an adapter, its base model and a site's own rows to a student's folder, whole or not there at all.

config.json, model.safetensors   the student, as transformers reads it
tokenizer.json                   its tokenizer, with the words of the site's training rows
head.safetensors, task.json      its head, labels, and how to pool
adapter/                         the head as an adapter over this very folder: what `fedpeft predict --adapter` reads
distill.json, README.md          what it is worth
"""

import shutil
import tempfile
from pathlib import Path

from client import private_tensors
from client.distilling import student as making
from client.distilling.learning import Told, learn
from client.distilling.measuring import measured
from client.distilling.outcome import Distilled
from client.distilling.page import render_page
from client.distilling.pair import Settings, Teacher, head_size, parameters_of
from client.distilling.shape import Shape, fit
from client.distilling.soft_targets import SoftTargets, distance_of, teacher_logits
from client.distilling.vocabulary import kept_ids, write_tokenizer
from client.distilling.writing import student_study, study_of_all, write_student
from client.execution import limited_threads, resolve
from client.recipe import Recipe
from client.rows import read_rows
from client.site_rows import prepare_rows
from common.adapter_folder import read_adapter
from common.base_files import check_digest
from common.errors import DataError, UserError
from common.files import write_bytes, write_json
from common.models import load_base
from common.seeds import integer_seed
from common.workbench import Workbench, open_workbench


def distil(
    adapter: Path,
    data: Path,
    out: Path,
    settings: Settings,
    *,
    base: Path,
    private: Path | None = None,
    threads: int = 1,
    told: Told,
) -> Distilled:
    """Train a student of the adapter in `adapter` on the rows of `data`, and write it to the new folder `out`.

    private: the folder with the site's own `private.safetensors`, where the study has private groups.

    Raises:
        UserError: what was given does not go together, or is not what the study says.
    """
    _check_free(out)
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.absolute().parent))  # 0700, as what it becomes
    try:
        with limited_threads(threads):
            teacher = _open_teacher(adapter, data, base, private, threads)
            found = _taught(teacher, scratch, settings, told, adapter)
        scratch.rename(out)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return found


def _check_free(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out} is there already; name a folder that is empty or not there")


def _open_teacher(adapter: Path, data: Path, base: Path, private: Path | None, threads: int) -> Teacher:
    exported = read_adapter(adapter)
    study = exported.study
    distance_of(study.task.kind)  # before anything is loaded
    check_digest(base, study.base_model.digest)
    execution = resolve(precision=study.training.precision, threads=threads)
    bench = open_workbench(study, base, attention=execution.attention)
    bench.write({**exported.shared, **private_tensors.of_folder(private, exported)})
    raw = read_rows(data, study)
    rows = prepare_rows(raw, study, bench)
    if not len(rows.train):
        raise DataError(f"data file {data.name!r} has no training rows of study {study.name!r}; give more rows")
    return Teacher(exported, bench, raw, rows, base, execution)


def _taught(teacher: Teacher, folder: Path, settings: Settings, told: Told, adapter: Path) -> Distilled:
    shape = _begin(teacher, folder, settings)
    study = student_study(teacher.exported.study)
    bench = open_workbench(study_of_all(study), folder, attention=teacher.execution.attention, seed=settings.seed)
    _take_head(teacher.bench, bench)
    rows = prepare_rows(teacher.raw, study, bench)
    targets = SoftTargets(
        distance_of(study.task.kind),
        settings.weight,
        settings.temperature,
        teacher_logits(teacher.bench, teacher.rows.train.examples, teacher.execution),
    )
    execution = teacher.execution
    epoch = learn(bench, rows, targets, _recipe(settings), execution=execution, seed=settings.seed, told=told)
    bundle = write_student(bench, study, folder)
    found = measured(teacher, bundle, folder, rows, settings, shape=shape, epoch=epoch, adapter=adapter)
    write_json(folder / "distill.json", found.to_json())
    write_bytes(folder / "README.md", render_page(teacher.exported.study, found).encode())
    return found


def _begin(teacher: Teacher, folder: Path, settings: Settings) -> Shape:
    """Write the student as it is before it learns."""
    base, reader = load_base(teacher.base), teacher.bench.reader
    kept = kept_ids(reader, (example.input_ids for example in teacher.rows.train.examples))  # type: ignore[attr-defined] # texts
    whole, max_length = making.shape_of(base), teacher.exported.study.task.max_length
    budget = int(settings.parameters * parameters_of(teacher.bench)) - head_size(teacher.bench)
    positions = min(max_length, whole.positions)
    shape = fit(whole, vocabulary=len(kept), positions=positions, budget=budget)
    ids = write_tokenizer(reader, kept, folder, max_length=positions)
    seed = integer_seed(settings.seed, purpose="distilling: first weights")
    making.write_model(making.make_student(base, shape, kept, pad_id=ids[reader.pad_token_id], seed=seed), folder)
    return shape


def _take_head(teacher: Workbench, student: Workbench) -> None:
    """Begin with the teacher's head where the student is as wide."""
    theirs, ours = teacher.head.state_dict(), student.head.state_dict()
    if all(theirs[name].shape == tensor.shape for name, tensor in ours.items()):
        student.head.load_state_dict(theirs)


def _recipe(settings: Settings) -> Recipe:
    return Recipe(
        learning_rate=settings.learning_rate,
        batch_size=settings.batch_size,
        epochs=settings.epochs,
        weight_decay=0.01,
        clip_norm=1.0,
        schedule="linear",
        warmup_fraction=0.1,
    )
