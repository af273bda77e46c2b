"""Evaluations without the numbers of their columns."""

import json

from serving import served
from watched import DAY_S

from service.api.brief import brief_of


def column(verdict, pvalue=None, effect=None):
    return {"verdict": verdict, "pvalue": pvalue, "effect": effect, "statistics": {"psi": 0.1}}


def test_a_brief_evaluation_names_the_strongest_columns():
    columns = {
        "a": column("stable", 0.5),
        "weak": column("drifted", 1e-3, 0.1),
        "unsaid": column("drifted", None, None),
        "small": column("drifted", 1e-9, 0.1),
        "large": column("drifted", 1e-9, 0.2),
        "none": column("undecided"),
    }
    document = {"model": "m", "rows": 7, "columns": columns, "tier": None}

    brief = json.loads(brief_of(json.dumps(document).encode()))

    assert brief == {
        "model": "m",
        "rows": 7,
        "tier": None,
        "columns_evaluated": 6,
        "columns_drifted": 4,
        "columns_strongest": ["large", "small", "weak"],
    }
    assert json.loads(brief_of(b'{"columns": {}}')) == {
        "columns_evaluated": 0,
        "columns_drifted": 0,
        "columns_strongest": [],
    }


def test_brief_evaluations_are_the_same_evaluations(tmp_path):
    async def scenario(api):
        await api.model(configuration={"columns": {"at": {"role": "time"}}, "retention": "36525d"})
        rows = [
            {"at": DAY_S + 60 * i, "temp": 5.0, "hour": i % 24, "weather": "rain", "prediction": 3.0} for i in range(90)
        ]
        assert (await api.send(rows)).json()["accepted"] == 90
        await api.service.ticks.evaluate()
        whole, brief = [
            (await api.request("GET", "/v1/models/m/evaluations", params={"brief": brief})).json()
            for brief in ("false", "true")
        ]
        return whole, brief

    whole, brief = served(tmp_path, scenario)
    assert whole["learning"] is brief["learning"] is None
    assert {one["provisional"] for one in brief["evaluations"]} == {True, False}
    for one, short in zip(whole["evaluations"], brief["evaluations"], strict=True):
        columns = one.pop("columns")
        drifted = [name for name, column in columns.items() if column["verdict"] == "drifted"]
        assert short.pop("columns_evaluated") == len(columns)
        assert short.pop("columns_drifted") == len(drifted)
        assert set(short.pop("columns_strongest")) <= set(drifted)
        assert short == one
