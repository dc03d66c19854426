"""Token recovery in a run: from one gradient, as a site of one step would send it, and from what really left."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from client.site_rows import SplitRows
from common.lora_pairs import A
from common.metrics.types import Floats
from common.seeds import generator
from common.state import AdapterState
from common.tasks import AnyExample, Example
from common.workbench import Workbench
from simulations.audit.findings import TokenFindings, TokenSetting
from simulations.audit.layer_inputs import FirstLayers, candidates, first_layers
from simulations.audit.membership import Resampling
from simulations.audit.opened import OpenedRun
from simulations.audit.public_words import public_tokens
from simulations.audit.token_recovery import (
    Views,
    embedding_name,
    embedding_scores,
    gradients,
    recovery_of,
    span_scores,
    views_of,
)
from simulations.audit.uploads import Upload, last_upload

ATTACKS: Final = 4
"""Gradients that are looked at in each one-step setting."""
MOST_RESAMPLES: Final = 300
"""A vocabulary has tens of thousands of tokens, and needs no more."""
ONE_ROW, ONE_BATCH, UPLOAD = "one step, one row", "one step, one batch", "the upload that left"
OTHER_UPLOAD = "for comparison: the upload of {other}"
REWRITES_A: Final = ("fedsvd",)
NOTHING_KEPT = "not measured at {sites}: no upload is kept that holds what the attack looks at"
NOT_IMPLEMENTED = "not measured: no published attack is implemented for peft.method = {method!r}"


@dataclass(frozen=True)
class Target:
    """One update to attack: setting and site it is of, what it was trained from, and the rows it was trained on."""

    setting: str
    site: str
    update: AdapterState
    received: AdapterState
    rows: Sequence[AnyExample]


class Attack(Protocol):
    """A way to tell tokens from an update."""

    def sees(self, upload: Upload) -> bool:
        """Whether the update holds what the attack looks at."""
        ...

    def scores(self, targets: Sequence[Target]) -> Floats:
        """Return (targets, candidates): the larger, the likelier a token was read."""
        ...


@dataclass(frozen=True)
class SpanAttack:
    """On the first LoRA layers."""

    layers: FirstLayers

    def sees(self, upload: Upload) -> bool:
        """Whether one of the factors moved."""
        return bool(views_of(self.layers, upload.update, upload.received))

    def scores(self, targets: Sequence[Target]) -> Floats:
        """Return how much of each token lies in the span."""
        views: list[Views] = [views_of(self.layers, target.update, target.received) for target in targets]
        longest = max(example.length for target in targets for example in target.rows)
        return span_scores(self.layers, views, places=longest)


@dataclass(frozen=True)
class EmbeddingAttack:
    """On a trained table of embeddings, by its name."""

    bench: Workbench
    table: str

    def sees(self, upload: Upload) -> bool:
        """Whether the table left the site."""
        return self.table in upload.update

    def scores(self, targets: Sequence[Target]) -> Floats:
        """Return how far each token's row moved."""
        tokens = candidates(self.bench)
        return np.stack([embedding_scores(target.update, self.table, tokens) for target in targets])


def find_tokens(run: OpenedRun, resampling: Resampling) -> TokenFindings:
    """Look for the tokens of each site's rows in its upload, and of some rows of the largest site in one gradient."""
    attack = _attack_on(run)
    if attack is None:
        return TokenFindings((), NOT_IMPLEMENTED.format(method=run.study.peft.method))
    uploads = {site: last_upload(run, site) for site in sorted(run.sites.rows)}
    known = {site: upload for site, upload in uploads.items() if upload is not None and _is_open(run, attack, upload)}
    if not known:
        return TokenFindings((), NOTHING_KEPT.format(sites=", ".join(uploads)))
    targets = [*_of_uploads(run, known), *_of_gradients(run, known)]
    found = attack.scores(targets)
    fewer = replace(resampling, resamples=min(resampling.resamples, MOST_RESAMPLES), parts=len(known))
    lost = sorted(set(uploads) - set(known))
    missing = NOTHING_KEPT.format(sites=", ".join(lost)) if lost else None
    return TokenFindings(tuple(_settings(run, targets, found, fewer)), missing)


def _is_open(run: OpenedRun, attack: Attack, upload: Upload) -> bool:
    """Whether the attack can be tried: not where only B left, and the server has written A anew since."""
    only_b = not any(name.endswith(A) for name in upload.update)
    rewritten = run.study.aggregation.name.replace("_", "-") in REWRITES_A
    return attack.sees(upload) and not (only_b and rewritten)


def _attack_on(run: OpenedRun) -> Attack | None:
    bench = run.sites.bench
    table = embedding_name(bench)
    if table is not None:
        return EmbeddingAttack(bench, table)
    layers = first_layers(bench)
    return None if layers is None else SpanAttack(layers)


def _of_uploads(run: OpenedRun, uploads: Mapping[str, Upload]) -> Iterator[Target]:
    for site, upload in uploads.items():
        yield Target(UPLOAD, site, upload.update, upload.received, run.sites.rows[site].train.examples)


def _of_gradients(run: OpenedRun, uploads: Mapping[str, Upload]) -> Iterator[Target]:
    """Yield gradients at the largest site, of the tensors that leave it."""
    site = max(uploads, key=lambda name: len(run.sites.rows[name].train))
    rng = generator(run.study.seed, site=site, purpose="audit batches")
    rows, training = run.sites.rows[site].train, run.study.training
    for setting, size in ((ONE_ROW, 1), (ONE_BATCH, min(training.batch_size, len(rows)))):
        for _ in range(ATTACKS):
            warm, batch = _drawn(rows, min(training.batch_size, len(rows)), rng), _drawn(rows, size, rng)
            found = gradients(
                run.sites.bench,
                run.initial(site),
                [warm, batch],
                rate=training.learning_rate,
                execution=run.sites.execution,
            )
            sent = {name: gradient for name, gradient in found.items() if name in uploads[site].update}
            yield Target(setting, site, sent, run.initial(site), batch)


def _drawn(rows: SplitRows, size: int, rng: np.random.Generator) -> list[AnyExample]:
    return [rows.examples[place] for place in rng.choice(len(rows), size=size, replace=False)]


def _settings(
    run: OpenedRun, targets: Sequence[Target], scores: Floats, resampling: Resampling
) -> Iterator[TokenSetting]:
    """Yield what was found of the tokens that the study itself does not tell."""
    tokens = candidates(run.sites.bench)
    secret = ~np.isin(tokens, public_tokens(run.study, run.sites.bench))
    there = np.stack([_in_rows(target.rows, tokens[secret]) for target in targets])
    for setting, site, looked_at, looked_for in _pairings(targets):
        chosen = [(at, of) for at, of in zip(looked_at, looked_for, strict=True) if there[of].any()]
        if chosen:
            at, of = (np.array(column) for column in zip(*chosen, strict=True))
            found = recovery_of(scores[at][:, secret], there[of], resampling)
            yield TokenSetting(setting, site, found, counts=setting == UPLOAD)


def _pairings(targets: Sequence[Target]) -> Iterator[tuple[str, str, list[int], list[int]]]:
    """Yield setting, site, the targets whose updates are looked at, and those whose tokens are looked for in them.

    Beside each upload stands that of another site: what it tells of these tokens, the sites have in common.
    """
    uploads = [place for place, target in enumerate(targets) if target.setting == UPLOAD]
    for setting, site in dict.fromkeys((target.setting, target.site) for target in targets):
        chosen = [place for place, t in enumerate(targets) if (t.setting, t.site) == (setting, site)]
        yield setting, site, chosen, chosen
        if setting == UPLOAD and len(uploads) > 1:
            other = uploads[(uploads.index(chosen[0]) + 1) % len(uploads)]
            yield OTHER_UPLOAD.format(other=targets[other].site), site, [other], chosen


def _in_rows(rows: Sequence[AnyExample], tokens: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which tokens (candidates,) are in the rows."""
    read = {token for row in rows if isinstance(row, Example) for token in row.input_ids}
    return np.isin(tokens, np.array(sorted(read), dtype=np.int64))
