"""A student measured as it lies in its folder, beside its teacher, on the site's test rows: once, at the end."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from client.distilling.outcome import Distilled, Model, compared
from client.distilling.pair import Settings, Teacher, parameters_of
from client.distilling.shape import Shape
from client.execution import Execution
from client.scoring import score
from client.site_rows import SiteRows
from common.adapter_folder import TENSORS, read_adapter
from common.base_files import manifest
from common.bundle import Bundle
from common.tasks import AnyExample
from common.workbench import Workbench, open_workbench


def measured(
    teacher: Teacher,
    bundle: Bundle,
    folder: Path,
    rows: SiteRows,
    settings: Settings,
    *,
    shape: Shape,
    epoch: int,
    adapter: Path,
) -> Distilled:
    """Return what the student in `folder` is worth. rows: as it reads them."""
    execution, study = teacher.execution, bundle.study
    bench = open_workbench(study, folder, attention=execution.attention)
    bench.write(read_adapter(folder / "adapter").shared)
    outputs = [
        score(each, part.test.examples, execution=execution) if len(part.test) else None
        for each, part in ((teacher.bench, teacher.rows), (bench, rows))
    ]
    resamples, measure = study.evaluation.resamples, bench.task.measure
    theirs, ours, difference = (
        ({}, {}, None)
        if outputs[0] is None or outputs[1] is None
        else compared(measure, rows.test, outputs[0], outputs[1], resamples=resamples, seed=settings.seed)
    )
    sizes = (_size(teacher.base) + (adapter / TENSORS).stat().st_size, _size(folder))
    return Distilled(
        teacher=Model(parameters_of(teacher.bench), sizes[0], _speed(teacher.bench, teacher.rows, execution), theirs),
        student=Model(parameters_of(bench), sizes[1], _speed(bench, rows, execution), ours),
        lead=measure.infos[0].label,
        difference=difference,
        epoch=epoch,
        epochs=settings.epochs,
        rows={"training": len(rows.train), "validation": len(rows.validation), "test": len(rows.test)},
        vocabulary=shape.vocabulary,
        shape=_words(shape),
        settings=asdict(settings),
    )


def _size(folder: Path) -> int:
    """Bytes of the files that make a model."""
    return sum((folder / name).stat().st_size for name in manifest(folder))


def _speed(bench: Workbench, rows: SiteRows, execution: Execution) -> float:
    """Rows a second over all of the site's rows, tokenised already, after a first pass over some of them."""
    examples: Sequence[AnyExample] = [*rows.train.examples, *rows.validation.examples, *rows.test.examples]
    score(bench, examples[:64], execution=execution)
    begin = time.perf_counter()
    score(bench, examples, execution=execution)
    return len(examples) / (time.perf_counter() - begin)


def _words(shape: Shape) -> str:
    layers = "1 layer" if shape.layers == 1 else f"{shape.layers} layers"
    heads = "1 head" if shape.heads == 1 else f"{shape.heads} heads"
    return (
        f"a BERT of {layers} with {shape.hidden} units in {heads} and {shape.intermediate} in between, "
        f"{shape.vocabulary:,} tokens and {shape.positions} positions"
    )
