"""Taking a new global adapter over at a site, or not: the gate of `client.acceptance` on the site's own rows.

What is accepted becomes a version in the site's own registry (`state/adapters/`), promoted; what is not leaves a line
in its history. Everything here stays at the site.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from client import private_tensors
from client.acceptance import Verdict, judge_site
from client.approval import find
from client.execution import Execution, resolve
from client.held_out import check_comparable, held_out, open_bench, scores_of
from client.policy import read_policy
from client.rows import read_rows
from client.settings import SiteSettings, read_settings
from client.shielding import suited
from client.site import find_base_model
from client.site_folder import SiteFolder
from common.adapter_folder import Exported, read_adapter
from common.adapter_reference import adapter_folder
from common.errors import UserError
from common.metrics.types import Floats
from common.ownership import check_owner
from common.registry.reading import DamagedError
from common.registry.store import Registry
from common.registry.versions import Version
from common.state import AdapterState
from common.study import Study

INITIAL = "the initial adapter"


@dataclass(frozen=True)
class Model:
    """An adapter that can score: what it is called, its study, and all its tensors."""

    name: str
    study: Study
    state: AdapterState


@dataclass(frozen=True)
class Adopted:
    """What became of a candidate. in_use: the version after it, as people name it; None where none is.

    against: what it was compared with; None where with nothing.
    """

    verdict: Verdict
    name: str
    against: str | None
    in_use: str | None


def adopt(folder: SiteFolder, named: Path, *, max_loss: float | None = None, against_initial: bool = False) -> Adopted:
    """Use the adapter that `named` means, if it does not lose too much; else keep what is in use. Both are noted.

    max_loss: in the leading metric; the policy's `adopt_max_loss` if not given. against_initial: where no version is in
    use, compare with the adapter that the approved study began with.

    Raises:
        UserError: the adapter, the base model or the rows are not what they should be; the adapter is in use already.
    """
    check_owner(folder.path)
    settings, bound = read_settings(folder), _bound(folder, max_loss)
    place = adapter_folder(named)
    exported, registry = read_adapter(place), Registry(folder.adapters)
    name, digest = exported.study.name, exported.digests["adapter"]
    current, damage = in_use(registry, name)
    if current is not None and current.digests.adapter == digest:
        raise UserError(f"this adapter is {name}@{current.number}, which is in use already; nothing changed")
    private = private_tensors.latest(folder, exported)
    candidate = Model("the candidate", exported.study, {**exported.shared, **private})
    rival = _rival(folder, registry, current, exported, against_initial=against_initial)
    verdict = compare(settings, candidate, rival, max_loss=bound)
    verdict = replace(verdict, why=f"{damage}; {verdict.why}" if damage else verdict.why)
    if not verdict.is_accepted:
        registry.note(name, "not used", None, f"{verdict.why}; adapter {digest}")
    else:
        current = _take_over(folder, registry, place, exported, private, verdict.why)
    using = None if current is None else f"{name}@{current.number}"
    return Adopted(verdict, name, None if rival is None else rival.name, using)


def _bound(folder: SiteFolder, given: float | None) -> float:
    return read_policy(folder.policy).adopt_max_loss if given is None else given


def in_use(registry: Registry, name: str) -> tuple[Version | None, str]:
    """Return the version that a site uses, None where it uses none; or none and why that one can no longer be used."""
    if name not in registry.names():
        return None, ""
    number = registry.current(name).version
    try:
        return None if number is None else registry.usable(name, number), ""
    except DamagedError as error:
        return None, str(error)


def _rival(
    folder: SiteFolder, registry: Registry, current: Version | None, candidate: Exported, *, against_initial: bool
) -> Model | None:
    if current is not None:
        exported = read_adapter(registry.adapter(current.name, current.number))
        private = private_tensors.of_version(folder, current.name, current.number, exported)
        return Model(f"{current.name}@{current.number}", exported.study, {**exported.shared, **private})
    if not against_initial:
        return None
    approved = find(folder, lambda each: each.bundle == candidate.digests["bundle"])
    if approved is None:
        raise UserError(
            f"--against-initial: study {candidate.study.name!r} is not approved here in the bundle that the adapter is "
            "of, so that its initial adapter is not known; leave the option out"
        )
    return Model(INITIAL, candidate.study, approved.read().bundle.initial)


def compare(settings: SiteSettings, candidate: Model, rival: Model | None, *, max_loss: float) -> Verdict:
    """Score the site's validation rows with both, and judge."""
    study = candidate.study
    rivals = [] if rival is None else [rival.study]
    for other in rivals:
        check_comparable(study, other)
    rows = read_rows(settings.rows, study)
    chosen = held_out(rows, study, *rivals)

    def scores(model: Model) -> Floats:
        execution = _execution(settings, model.study)
        bench = open_bench(model.study, find_base_model(settings, model.study), execution)
        return scores_of(bench, model.state, read_rows(settings.rows, model.study).take(chosen), execution)

    ours, theirs = scores(candidate), None if rival is None else scores(rival)
    return judge_site(study, settings.site, rows.take(chosen), ours, theirs, max_loss=max_loss)


def _execution(settings: SiteSettings, study: Study) -> Execution:
    found = resolve(precision=study.training.precision, device=settings.members[0], threads=settings.threads)
    return suited(found, study)


def _take_over(
    folder: SiteFolder, registry: Registry, place: Path, exported: Exported, private: AdapterState, why: str
) -> Version:
    """Make the adapter the promoted version; one that was kept before is promoted again, not copied."""
    name = exported.study.name
    folder.adapters.mkdir(mode=0o700, parents=True, exist_ok=True)
    known = [] if name not in registry.names() else registry.versions(name)
    version = next((each for each in known if _is_it(registry, each, exported)), None)
    if version is None:
        version = registry.add(place, name=name)
        if version.digests.adapter != exported.digests["adapter"]:
            raise UserError(f"{place} was changed while it was looked at, and is not used; give the command again")
    private_tensors.keep(folder, name, version.number, private)
    if registry.current(name).version != version.number:
        registry.promote(name, version.number, reason=why)
    return version


def _is_it(registry: Registry, version: Version, exported: Exported) -> bool:
    if version.digests.adapter != exported.digests["adapter"] or registry.is_pruned(version.name, version.number):
        return False
    try:
        return registry.usable(version.name, version.number) is not None
    except DamagedError:
        return False


def roll_back(folder: SiteFolder, name: str | None) -> Version:
    """Use again the version that was used before; `name` is the study's, needed where there are several."""
    check_owner(folder.path)
    read_settings(folder)
    registry = Registry(folder.adapters)
    names = registry.names()
    if name is None and len(names) != 1:
        raise UserError(f"--study says which: this site has adapters of {', '.join(names) or 'no study'}")
    return registry.rollback(name or names[0], reason="by hand, at the site")
