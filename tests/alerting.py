"""Decisions as they are written by hand, and lives made of them."""

import json
from dataclasses import replace

from service.alerts.decision import Decision, Subject
from service.alerts.documents import changed
from service.alerts.lifecycle import step
from service.alerts.rules import Rules, TriggerRule
from service.alerts.state import AlertState

HOUR = 3_600_000_000
T0 = 1_330_923_600_000_000
NOW = T0 + 10**15
SUBJECT = Subject(model="bikes", version="2011")
RULES = Rules(fire_after=2, resolve_after=2, cool_down_us=3 * HOUR, notify=("pager", "chat"), public_url="https://d")
OFTEN = replace(RULES, fire_after=1, resolve_after=1, cool_down_us=0)
D, S, U = "drifted", "stable", "undecided"


def column(verdict="drifted", *, pvalue=1e-9, role="input", moved=1, label="(0.5, 0.62]"):
    return {
        "role": role,
        "kind": "numeric",
        "verdict": verdict,
        "reason": None,
        "rows": 167,
        "statistics": {f"statistic_{number}": 0.123456789012 for number in range(15)},
        "pvalue": pvalue,
        "pvalue_threshold": 1e-5,
        "pvalues": {f"test_{number}": 1.2345678901e-09 for number in range(7)},
        "effect": 0.28,
        "effect_threshold": 0.005,
        "evidence": "values",
        "direction": "up",
        "effective_rows": 40.0,
        "smallest_detectable_shift": 0.9,
        "test_groups": 10,
        "missing_ratio": 0.0,
        "invalid_ratio": 0.0,
        "unseen_ratio": 0.0,
        "out_of_range_ratio": 0.01,
        "moved": [{"bin": label, "reference": 0.1, "current": 0.23}] * moved,
        "error": None,
    }


def evaluation(
    verdict="drifted", *, tier=None, calibration="iid", false_alarms=None, columns=None, size="1h", scale=1, **more
):
    columns = {"temp": column(verdict), "count": column("stable")} if columns is None else columns
    return {
        "format": "driftline.evaluation/1",
        "window": {"start": "2012-03-05T05:00:00Z", "end": "2012-03-05T06:00:00Z", "size": size},
        "verdict": verdict,
        "tier": tier,
        "calibration": calibration,
        "false_alarms_per_30d": false_alarms,
        "budget_per_30d": 1.0,
        "scale": scale,
        "rows": 167,
        "columns": columns,
        **more,
    }


def decided(hour, verdict="drifted", *, reference="sha256:a", correction=False, evaluations=None, **kept):
    return Decision(
        subject=SUBJECT,
        reference_id=reference,
        window_start_us=T0 + hour * HOUR,
        window_end_us=T0 + (hour + 1) * HOUR,
        verdict=verdict,
        reason="silent" if verdict == "undecided" else None,
        evaluations=[evaluation(verdict, **kept)] if evaluations is None else evaluations,
        correction=correction,
    )


def run(decisions, rules=RULES, state=None, now_us=NOW):
    """Steps of decisions, which are given as verdicts or as they are."""
    state = state or AlertState()
    steps = []
    for hour, decision in enumerate(decisions):
        made = step(state, decided(hour, decision) if isinstance(decision, str) else decision, rules, now_us)
        steps.append(made)
        state = made.state
    return steps


def phases(steps):
    return "".join("F" if made.state.phase == "firing" else "." for made in steps)


def notices(steps):
    """Each once, whatever the number of its targets."""
    by_id = {}
    for made in steps:
        for notice in made.notices:
            document = json.loads(notice.notice)
            by_id.setdefault(document["id"], document)
    return list(by_id.values())


def kinds(steps):
    return [(document["kind"], document["sequence"]) for document in notices(steps)]


def episodes(steps):
    found = {}
    for made in steps:
        for change in made.changes:
            found[change.id] = changed(found.get(change.id), change)
    return list(found.values())


def rated(hour, false_alarms, *, budget=1.0, scale=1, length=1, **kept):
    """A decision whose one evaluation has a rate."""
    verdict = D if false_alarms <= budget else S
    kept = {"calibration": "verified", "tier": "alarm" if verdict == D else None} | kept
    one = evaluation(verdict, false_alarms=false_alarms, scale=scale, budget_per_30d=budget, **kept)
    decision = decided(hour, verdict, evaluations=[one])
    return replace(decision, window_end_us=decision.window_start_us + length * HOUR)


def trigger(**kept):
    return TriggerRule(**({"key": "ci:1", "target": "ci", "cool_down_us": 24 * HOUR, "dry_run": False} | kept))
