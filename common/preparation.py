"""From a study and a base model to a bundle. The one place that draws an initial adapter."""

from collections.abc import Mapping
from pathlib import Path

from common import plugins
from common.base_files import check_manifest, manifest
from common.bundle import BaseModelFacts, Bundle, write_bundle
from common.compressing import check_compresses
from common.errors import SchemaError, StudyError
from common.foreseen import foreseen_in
from common.peft_methods._depth import stack_of
from common.rank_check import check_carries, check_ranks
from common.state import HEAD, AdapterSchema, AdapterState, Array
from common.strategy_check import STRATEGIES, check_shared_pairs
from common.study import Study, replaced
from common.unfreezing import check_patterns
from common.workbench import Workbench, open_workbench


def prepare(study: Study, base_folder: Path, out: Path, *, start: AdapterState | None = None) -> Bundle:
    """Write the bundle of `study` to the folder `out`: base model checked, digest locked, initial adapter drawn.

    start: shared tensors that the initial adapter has instead of those drawn, where a study goes on from another's end.
    """
    return open_prepared(study, base_folder, out, start=start)[0]


def open_prepared(
    study: Study, base_folder: Path, out: Path, *, start: AdapterState | None = None, attention: str = "eager"
) -> tuple[Bundle, Workbench]:
    """Do as `prepare`, and return the workbench too that the initial adapter was drawn in, for who goes on with it.

    attention: the workbench's; the initial adapter does not depend on it.
    """
    files = manifest(base_folder)
    digest = check_manifest(base_folder, files, study.base_model.digest)
    locked = replaced(study, {"base_model.digest": digest})
    bench = open_workbench(locked, base_folder, attention=attention, seed=locked.seed)
    return _written(locked, bench, files, out, start), bench


def _written(
    locked: Study, bench: Workbench, files: Mapping[str, str], out: Path, start: AdapterState | None
) -> Bundle:
    if locked.training.layer_decay < 1:
        stack_of(bench.model)  # raises StudyError where there are no layers to tell apart
    initial = bench.read()
    own = [name for name in initial if name not in bench.parameters]
    try:
        schema = AdapterSchema.of(initial, private=[*locked.peft.private, *own])
    except SchemaError as error:
        raise StudyError(str(error)) from None
    if not schema.shared.tensors:
        raise StudyError("peft.private makes every tensor private; a federation needs at least one that is shared")
    if start is not None:
        initial = _started(initial, start, schema)
    check_patterns(locked.training.unfreeze, schema)
    strategy = plugins.build(STRATEGIES, locked.aggregation.name, locked.aggregation.options, key="aggregation.name")
    check_shared_pairs(locked, strategy, schema)
    _check_rounds(locked, schema)
    check_ranks(locked, schema, initial)
    check_carries(locked, schema)
    check_compresses(locked.compression, schema.shared)
    return write_bundle(
        out,
        study=locked,
        schema=schema,
        initial=initial,
        base_model=_facts(bench, files),
        adapter_config=bench.method.adapter_config(bench.model),
        peft_names=bench.method.peft_names([name for name in bench.parameters if not name.startswith(HEAD)]),
    )


def _started(drawn: AdapterState, start: AdapterState, schema: AdapterSchema) -> dict[str, Array]:
    try:
        schema.shared.check(start)
    except SchemaError as error:
        raise StudyError(
            f"the adapter to go on from is not one of this study ({error}); keep its base model, peft and task"
        ) from None
    return {name: start.get(name, array) for name, array in drawn.items()}


def _check_rounds(study: Study, schema: AdapterSchema) -> None:
    """Raise StudyError where what a strategy trains in a round and what is unfrozen in it have no tensor in common."""
    sites, unfreeze = study.federation.sites or ("",), study.training.unfreeze
    for number in range(1, study.federation.rounds + 1) if unfreeze else ():
        plans = [foreseen_in(study, number, site) for site in sites]
        if not all(list(plan.choices(schema.shared)) for plan in plans):
            raise StudyError(
                f"training.unfreeze leaves nothing to train in round {number}, of which aggregation.name = "
                f"{study.aggregation.name!r} trains a part; unfreeze some of that part"
            )


def _facts(bench: Workbench, files: Mapping[str, str]) -> BaseModelFacts:
    return BaseModelFacts(
        files=files,
        parameters=bench.base_parameters,
        size_bytes=4 * bench.base_parameters,
    )
