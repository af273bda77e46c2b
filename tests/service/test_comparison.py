"""How a reference compares with the one before it: what is said of it, and where."""

import json

import numpy as np
import pytest
from making import reference_of
from serving import REFERENCE_TYPE, ROW, problem_in, reference_file, served

from detectors.reference.comparing import ComparedColumn, ComparedReferences, KindChange
from service.references.comparison import sentence_of, strongest
from service.registry.reference_file import reference_bytes

FILE = {"content-type": REFERENCE_TYPE}
NAN = float("nan")


def column(name, psi, before=0.0, after=0.0, kind="numeric"):
    return ComparedColumn(
        name=name, role="input", kind=kind, psi=psi, ks=0.1, missing_before=before, missing_after=after
    )


def found(*columns, added=(), removed=(), kinds=()):
    return ComparedReferences(columns=columns, added=added, removed=removed, kinds=kinds, rows_before=10, rows_after=20)


# The sentence


@pytest.mark.parametrize(
    ("compared", "sentence"),
    [
        (found(column("x", 0.01)), "Of 1 column none differs by a PSI above 0.1."),
        (found(), "No column can be compared."),
        (
            found(column("y", 0.15), column("x", 5.372), column("z", 0.2), column("n", NAN)),
            "Of 4 columns 1 differs much (PSI above 0.2): x 5.37; 2 differ somewhat (PSI above 0.1): z 0.20, y 0.15.",
        ),
        (
            found(column("x", 0.0, 0.05, 0.081), column("y", 0.0, NAN, 0.5), column("z", 0.0, 0.1, 0.105)),
            "Of 3 columns none differs by a PSI above 0.1. Missing values: x 5.0% before, 8.1% now.",
        ),
        (
            found(
                added=tuple("abcdefg"),
                removed=("z",),
                kinds=(KindChange(name="k", before="numeric", after="categorical"),),
            ),
            (
                "No column can be compared. New: a, b, c, d, e and 2 more. Gone: z."
                " Of another kind: k (numeric before, categorical now)."
            ),
        ),
    ],
)
def test_a_sentence_says_what_changed(compared, sentence):
    assert sentence_of(compared) == sentence


def test_the_log_names_the_strongest_columns():
    compared = found(*(column(f"c{k}", 0.5 - k / 100) for k in range(9)), column("n", NAN, NAN, 0.5))

    assert strongest(compared)[0] == {"column": "c0", "psi": 0.5, "missing_change": 0.0}
    assert len(strongest(compared)) == 5
    assert strongest(found(column("n", NAN, NAN, 0.5))) == [{"column": "n", "psi": None, "missing_change": None}]


# Over HTTP


def other_file(**kept):
    """A reference file in which a column moved, one turned into text, one is new, and one is gone."""
    rng = np.random.default_rng(5)
    columns = {
        "temp": rng.normal(0.9, 0.2, 500),
        "hour": np.array(["early", "late"], dtype=object)[rng.integers(0, 2, 500)],
        "prediction": rng.normal(3, 1, 500),
        "wind": rng.normal(0, 1, 500),
    }
    return reference_bytes(reference_of(columns, roles={"prediction": "output"}, **kept), compressed=True)


def activated(api, content, **params):
    return api.client.post("/v1/models/m/references", content=content, headers=FILE, params=params)


def test_an_activation_says_how_the_reference_compares_with_the_one_before(tmp_path):
    async def scenario(api):
        first = await activated(api, reference_file())
        await api.send(ROW)
        kept = await activated(api, other_file(), activate="false")
        path = f"/v1/models/m/references/{kept.json()['id']}"
        beside = await api.client.get(path, params={"compare_with": "active"})
        second = await api.client.post(f"{path}/activate")
        again = await api.client.post(f"{path}/activate")
        back = await api.client.get(path, params={"compare_with": first.json()["id"]})
        plain = await api.client.get(path)
        (version,) = (await api.client.get("/v1/models/m")).json()["versions"]
        return (
            first.json(),
            kept.json(),
            beside.json(),
            second.json(),
            again.json(),
            back.json(),
            plain.json(),
            version,
            api.log,
        )

    first, kept, beside, second, again, back, plain, version, log = served(tmp_path, scenario)

    assert first["comparison"] is kept["comparison"] is again["comparison"] is plain["comparison"] is None
    comparison = second["comparison"]
    assert (comparison["before"], comparison["after"]) == (first["id"], kept["id"])
    assert (comparison["rows_before"], comparison["rows_after"]) == (400, 500)
    assert [one["name"] for one in comparison["columns"]] == ["temp", "prediction"]
    assert comparison["columns"][0]["psi"] > 1
    assert comparison["columns"][0]["ks"] > 0.5
    assert (comparison["added"], comparison["removed"]) == (["wind"], ["weather"])
    assert comparison["kinds"] == [{"name": "hour", "before": "numeric", "after": "categorical"}]
    assert comparison["sentence"].startswith("Of 2 columns 1 differs much (PSI above 0.2): temp ")
    assert beside["comparison"] == back["comparison"] == comparison
    assert (version["reference_id"], version["previous_reference_id"]) == (kept["id"], first["id"])
    lines = [json.loads(line) for line in log.splitlines() if '"reference activated"' in line]
    assert [line["before"] for line in lines] == [None, first["id"]]
    assert lines[0]["changed"] == []
    assert lines[1]["changed"][0]["column"] == "temp"


def test_what_is_not_there_cannot_be_compared(tmp_path):
    async def scenario(api):
        kept = await activated(api, reference_file(), activate="false")
        path = f"/v1/models/m/references/{kept.json()['id']}"
        return [
            await api.client.get(path, params={"compare_with": other})
            for other in ("active", "sha256:nothing", "job_1")
        ]

    for answer in served(tmp_path, scenario):
        problem_in(answer, 404)


def test_a_span_that_is_promoted_and_activated_says_it_too(tmp_path):
    async def scenario(api):
        await api.model()
        await api.send([ROW] * 50)
        span = {"since": "2026-03-02T12:00:00Z", "until": "2026-03-02T13:00:00Z", "activate": True}
        return await api.client.post("/v1/models/m/promotions", json=span)

    answer = served(tmp_path, scenario)

    assert answer.status_code == 201, answer.text
    comparison = answer.json()["comparison"]
    assert comparison["rows_after"] == 50
    assert {column["name"] for column in comparison["columns"]} == {"temp", "hour", "weather", "prediction"}
    assert "much (PSI" in comparison["sentence"]
