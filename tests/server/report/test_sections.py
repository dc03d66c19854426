from server.report.sections import sections


def titles(results, curves):
    return [part.title for part in sections(results, curves)]


def test_sections_without_content_are_left_out(results):
    assert titles(results, results["curves"]) == [
        "Comparison",
        "Benefit of joining",
        "Where it is weakest",
        "Known limits",
        "ROC and calibration",
        "Each hospital's own model at every hospital",
        "Training, round by round",
        "What the updates say of each other",
        "Participation",
        "Parameters, bytes, time",
        "Privacy",
        "Provenance",
        "Running it again",
    ]
    results["comparison"], results["rounds"], results["initial"] = None, [], None
    results["digests"] = {}
    assert titles(results, {}) == [
        "Comparison",
        "Known limits",
        "Parameters, bytes, time",
        "Privacy",
        "Running it again",
    ]


def test_a_run_over_seeds_says_which_seed_the_rest_is_of(results):
    results["seeds"] = [0, 1]
    results["comparison"]["over_seeds"] = {"federated": {"mean": {"auroc": {"value": 0.8}}}}
    (found,) = [part for part in sections(results, {}) if part.title == "Over seeds"]
    assert found.paragraphs == ("Seeds 0, 1. Everything per hospital above is of seed 0.",)
