"""audit.html: one file, no network: the verdict in plain sentences, every figure beside chance and threshold."""

from collections.abc import Iterator, Sequence

from common.metrics.types import Metric
from server.report.formats import counted, percent, plain
from server.report.layout import Cell, Figure, Section, Table, Tone, table
from server.report.render import render_page
from simulations.audit.charts import Dot, dots_chart
from simulations.audit.findings import Audit, CanaryFindings, TokenSetting
from simulations.audit.membership import EVERYONE
from simulations.audit.verdict import Check, Verdict
from simulations.audit.words import BELOW, figure, needed, sentences

READING = (
    "FAIL: the estimate is above the threshold, and chance is an unlikely explanation. PASS: the whole interval is "
    "below the threshold. INCONCLUSIVE: anything between, with how many rows would decide it were the estimate to "
    "stay. Intervals are 95 %, by resampling patients; those of single sites are wider, so that all of them hold "
    "together. A fail at one site is a fail of the whole; a pass is judged on all sites together, since one alone may "
    "have too few rows. Thresholds are the study's, in [simulation.audit]."
)
MEMBERSHIP = (
    "Given a row, was it trained on? The attacker has the base model, the adapter before and after, and the row with "
    "its label; the score is how much training lowered the row's loss. Members are training rows, the others test "
    "rows, told apart by a hash of the patient, so that nothing but training tells them apart. Canaries are left out. "
    "AUC: how often a member scores above another row, 0.5 by chance. Members found at 1 % false positives: what an "
    "attacker is sure of."
)
SHADOWS = (
    "{shadows} shadow adapters were trained on random halves of all patients; the score is how much likelier the "
    "final adapter's confidence is if the row was trained on."
)
CANARIES = (
    "{count} made-up rows, each {repeats} among the training rows of {site}, and {references} references drawn in the "
    "same way that nobody trained on. Exposure is log2 of how far up a canary stands among them by its loss: {chance} "
    "bits by chance, {most} at most."
)
TOKENS = (
    "Which tokens of the vocabulary are in a site's rows? Looked for in the space that the update of the first "
    "adapted layers spans, by one who has the base model. Recall: the share of the site's tokens among as many best "
    "guesses. Tokens of the study's own words, its template and phrases, are left out: whoever has the study has "
    "them. Of the upload that left, what was found beyond chance is judged; what one plain gradient gives away is "
    "shown for comparison: it is what a site of one step would send, without dropout, noise or later steps. What "
    "another site's upload finds of the same tokens, the sites have in common: it tells of the study's field more "
    "than of this site."
)
SANITY = (
    "What must be chance: the same attack on rows that the model never saw. Where 0.5 is outside the interval, the "
    "figures above are to be doubted: members and others then differ by more than training, or this is the one audit "
    "in twenty."
)
ASSUMED = (
    "The attacker is the server, a participant, or whoever gets the adapter, and follows the protocol: nobody sends a "
    "model made to draw rows out. It knows the study, the base model and the released adapter, and for tokens a "
    "site's upload. Attacks are as published, and weaker than one that is made for this study."
)
TONES: dict[Verdict, Tone] = {"fail": "bad", "pass": "good", "inconclusive": "", "not measured": "muted"}


def render(found: Audit) -> str:
    """Return the page as HTML."""
    return render_page(
        title=f"Leakage audit of {found.subject.study}",
        description=found.subject.description,
        facts=_facts(found),
        summary=sentences(found),
        sections=[each for each in _sections(found) if not each.is_empty],
    )


def _facts(found: Audit) -> list[str]:
    subject = found.subject
    whose = (
        counted(len(subject.sites), "hospital") if subject.kind == "simulation" else f"own rows of {subject.sites[0]}"
    )
    return [whose, counted(subject.rounds, "round"), f"method {subject.method}", f"privacy: {subject.privacy}"]


def _sections(found: Audit) -> Iterator[Section]:
    yield Section("Every figure", (READING,), tables=(_checks_table(found.checks),))
    yield _membership(found)
    yield _canaries(found.canaries)
    yield _tokens(found.tokens.settings)
    yield Section("Sanity", (SANITY,) if found.sanity else (), (), _sanity_tables(found))
    yield Section("What was assumed", (ASSUMED, BELOW))


def _checks_table(checks: Sequence[Check]) -> Table:
    rows = [
        (
            Cell(f"{check.label}, {check.scope}"),
            _metric(check.metric),
            Cell(plain(check.chance)),
            Cell(plain(check.threshold)),
            Cell(check.verdict, note=needed(check), tone=TONES[check.verdict]),
        )
        for check in checks
    ]
    return table("Figures and verdicts", ("Attack", "Figure", "By chance", "Threshold", "Verdict"), rows)


def _metric(metric: Metric) -> Cell:
    if metric.value is None:
        return Cell("not measured", metric.reason or "", tone="muted")
    between = "" if metric.low is None else f"{plain(metric.low)} to {plain(metric.high)}"
    return Cell(plain(metric.value), between, metric.reason or "")


def _membership(found: Audit) -> Section:
    checks = [check for check in found.checks if check.key == "membership_auc"]
    names = {check: check.label.partition(":")[0] for check in checks}
    dots = [Dot(f"{check.scope}, {names[check].lower()}", check.metric, check.verdict == "fail") for check in checks]
    dots += [
        Dot("never seen: held-out rows" if not n else "never seen: other sites", each.auc)
        for n, each in enumerate(found.sanity)
    ]
    threshold = next((check.threshold for check in checks if check.scope == EVERYONE), None)
    chart = dots_chart(dots, name="Membership: area under the curve", x="AUC", chance=0.5, threshold=threshold)
    texts = (MEMBERSHIP, SHADOWS.format(shadows=found.shadows)) if found.shadows else (MEMBERSHIP,)
    return Section("Membership", texts, _kept(chart))


def _canaries(found: CanaryFindings | None) -> Section:
    if found is None:
        return Section("Canaries")
    text = CANARIES.format(
        count=found.count,
        repeats=counted(found.repeats, "time"),
        site=found.site,
        references=f"{found.references:,}",
        chance=plain(found.chance, 2),
        most=plain(found.most, 2),
    )
    dots = [Dot(f"canary {number}", Metric(value, 1)) for number, value in enumerate(found.exposures, start=1)]
    name = "Exposure of each canary, in bits"
    chart = dots_chart(dots, name=name, x="Exposure", chance=found.chance, threshold=None) if len(dots) <= 50 else None
    return Section("Canaries", (text,), _kept(chart))


def _tokens(settings: Sequence[TokenSetting]) -> Section:
    if not settings:
        return Section("Tokens")
    dots = [Dot(f"{setting.name}, {setting.scope}", setting.found.beyond) for setting in settings]
    name = "Tokens found beyond chance"
    chart = dots_chart(dots, name=name, x="Share of the tokens found, beyond chance", chance=0.0, threshold=None)
    rows = [
        (
            Cell(f"{setting.name}, {setting.scope}"),
            Cell(f"{setting.found.true:,} of {setting.found.candidates:,}"),
            _metric(setting.found.recall),
            Cell(percent(setting.found.true / setting.found.candidates)),
            _metric(setting.found.auc),
        )
        for setting in settings
    ]
    header = ("Setting", "Tokens there", "Recall", "By chance", "AUC")
    return Section("Tokens", (TOKENS,), _kept(chart), (table("Tokens found", header, rows),))


def _sanity_tables(found: Audit) -> tuple[Table, ...]:
    if not found.sanity:
        return ()
    rows = [
        (Cell(each.label), Cell(figure(each.auc)), Cell("as expected" if each.is_as_expected else "not chance"))
        for each in found.sanity
    ]
    return (table("What must be chance", ("Attack", "AUC", "Verdict"), rows),)


def _kept(chart: Figure | None) -> tuple[Figure, ...]:
    return () if chart is None else (chart,)
