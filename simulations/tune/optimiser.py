"""Optuna's part: it keeps the trials in a file, proposes the next one, and says which are not worth going on with.

Tree-structured Parzen estimators (Bergstra et al. 2011,
https://papers.nips.cc/paper/4443-algorithms-for-hyper-parameter-optimization) and the median rule (Golovin et al. 2017,
https://doi.org/10.1145/3097983.3098043, section 3.2.2).
Unlike Optuna's own use, each trial has a sampler of its own, seeded by the search's seed and the trial's place: what is
proposed depends on the trials before it only, and not on whether the search was killed in between.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final  # Optuna is untyped here; values of a study

from common.errors import UserError
from common.seeds import integer_seed
from simulations.tune.facts import DATABASE, Facts
from simulations.tune.space import Choices, Parameter

STARTUP: Final = 8
"""Trials drawn at random before the estimators have something to go by."""
UNPRUNED: Final = 4
"""Trials that are played to their end before others are measured by their median."""


def require_optuna() -> None:
    """Raise UserError where Optuna is not installed."""
    try:
        import optuna  # noqa: F401 # only whether it is there
    except ModuleNotFoundError:
        raise UserError("fedpeft tune needs Optuna, which is not installed here: pip install 'fedpeft[tune]'") from None


def open_search(out: Path, facts: Facts) -> Any:
    """Return Optuna's study in the folder `out`, new or as it was left."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    database = f"sqlite:///{(out / DATABASE).resolve()}"
    return optuna.create_study(
        storage=optuna.storages.RDBStorage(database, engine_kwargs={"connect_args": {"timeout": 60}}),
        study_name="tune",
        direction="maximize" if facts.info.higher_is_better else "minimize",
        pruner=_pruner(facts),
        load_if_exists=True,
    )


def _pruner(facts: Facts) -> Any:
    """The first rounds of a long run tell little of its end: a quarter of them is played in any case."""
    import optuna

    if not facts.prune:
        return optuna.pruners.NopPruner()
    return optuna.pruners.MedianPruner(
        n_startup_trials=UNPRUNED, n_warmup_steps=math.ceil(facts.base.federation.rounds / 4)
    )


def ask(search: Any, facts: Facts, place: int, *, shared: bool) -> tuple[Any, dict[str, Any]]:
    """Return Optuna's trial at a place in the sequence, from 1, and the values that it proposes.

    shared: whether others are played at the same time; they are then kept apart.
    """
    import optuna

    seed = integer_seed(facts.seed, round_number=place, purpose="tune") % 2**32
    search.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP, constant_liar=shared)
    trial = search.ask()
    trial.set_user_attr("place", place)
    return trial, {each.key: _suggested(trial, each) for each in facts.parameters}


def _suggested(trial: Any, parameter: Parameter) -> Any:
    if isinstance(parameter, Choices):  # as text: Optuna keeps no lists and tables
        return json.loads(trial.suggest_categorical(parameter.key, [json.dumps(each) for each in parameter.values]))
    if parameter.is_whole:
        step = {} if parameter.step is None else {"step": parameter.step}
        return trial.suggest_int(parameter.key, parameter.low, parameter.high, log=parameter.log, **step)
    return trial.suggest_float(parameter.key, parameter.low, parameter.high, log=parameter.log, step=parameter.step)


def values_of(trial: Any, facts: Facts) -> dict[str, Any]:
    """Return what a trial proposed, as a study has it."""
    texts = {each.key for each in facts.parameters if isinstance(each, Choices)}
    return {key: json.loads(value) if key in texts else value for key, value in trial.params.items()}


def importances(search: Any, facts: Facts) -> Mapping[str, float]:
    """Return the share of each parameter in how values differ, by a forest (Hutter et al. 2014); none of few trials."""
    import optuna

    done = [trial for trial in search.get_trials(deepcopy=False) if trial.state.name == "COMPLETE"]
    if len(facts.space) < 2 or len(done) < 10 or len({trial.value for trial in done}) < 2:
        return {}
    forest = optuna.importance.FanovaImportanceEvaluator(seed=facts.seed)
    found: Mapping[str, float] = optuna.importance.get_param_importances(search, evaluator=forest)
    return found
