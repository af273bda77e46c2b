"""The dictionary form of a reference and its identity."""

import copy
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from making import reference_of

from detectors.errors import ReferenceFormatError
from detectors.reference import FORMAT, from_form, reference_id, to_form


def made(**kept):
    rng = np.random.default_rng(0)
    columns = {
        "x": rng.standard_normal(600),
        "big": 2**60 + rng.integers(0, 50, 600),
        "c": rng.choice(["a", "b", "ü", "rare"], 600, p=[0.5, 0.3, 0.19, 0.01]),
        "out": rng.lognormal(size=600),
    }
    columns["x"][:9] = np.nan
    return reference_of(columns, roles={"out": "output"}, categories_max=2, blocks=np.arange(600) // 60 * 3600, **kept)


@pytest.fixture(scope="module")
def form():
    return to_form(made())


def through_json(form):
    return json.loads(json.dumps(form))


def test_it_comes_back_bit_for_bit(form):
    again = from_form(through_json(form))

    assert to_form(again) == form
    assert json.dumps(to_form(again)) == json.dumps(form)
    assert again.columns[1].points.dtype == np.int64
    assert np.array_equal(again.counts, made().counts)
    assert np.array_equal(again.means, made().means, equal_nan=True)
    assert np.array_equal(again.blocks.counts, made().blocks.counts)
    assert not again.counts.flags.writeable


def test_a_reference_without_blocks_comes_back_too():
    form = to_form(reference_of({"x": np.arange(5.0), "e": np.full(5, np.nan)}))

    assert to_form(from_form(through_json(form))) == form
    assert form["blocks"] is None


def test_blocks_before_1970_come_back():
    form = to_form(reference_of({"x": np.arange(5.0)}, blocks=np.arange(5) * 3600 - 7200))

    assert from_form(through_json(form)).blocks.starts_s.tolist() == [-7200, -3600, 0, 3600, 7200]


def test_the_id_is_of_the_data_alone():
    one, other = made(), made(model="other", version="2", created_at="2020-01-01T00:00:00Z", provenance={"a": 1})

    assert reference_id(one) == reference_id(other)
    assert reference_id(one).startswith("sha256:")
    assert reference_id(one) != reference_id(made(window="2h"))


def test_the_id_is_the_same_on_any_machine():
    """A golden id: it may change only with the format version."""
    steps = np.arange(2000)
    columns = {
        "x": steps * 7919 % 1009 / 8,
        "n": steps * 31 % 17,
        "c": np.array(["a", "b", "c"])[steps * 5 % 7 % 3],
    }
    reference = reference_of(columns, blocks=steps // 100 * 3600, resolution=64)

    assert reference_id(reference) == GOLDEN_ID


def test_other_data_has_another_id():
    ids = {reference_id(reference_of({"x": np.arange(n, dtype=float)})) for n in (5, 6)}
    ids.add(reference_id(reference_of({"y": np.arange(5.0)})))
    ids.add(reference_id(reference_of({"x": np.arange(5.0)}, roles={"x": "output"})))
    ids.add(reference_id(reference_of({"x": np.arange(5.0)}, blocks=np.zeros(5, dtype=np.int64))))

    assert len(ids) == 5


def broken(form, path, value):
    form = copy.deepcopy(form)
    place = form
    for key in path[:-1]:
        place = place[key]
    if value is DELETE:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return form


DELETE = object()
NOTHING = {"type": "uint8", "shape": [0], "data": ""}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["format"], DELETE, "not a Driftline reference"),
        (["format"], 3, "not a Driftline reference"),
        (["format"], "driftline.reference/2", "later release"),
        (["columns"], [], "at least one"),
        (["columns"], "x", "columns: missing"),
        (["columns", 0], 7, r"columns\[0\]"),
        (["columns", 0, "name"], 7, r"columns\[0\].name"),
        (["columns", 1, "name"], "x", "each name once"),
        (["columns", 0, "role"], "label", "role"),
        (["columns", 0, "kind"], "ordinal", "kind"),
        (["columns", 0, "points_type"], "float16", r"columns\[0\]"),
        (["columns", 0, "points"], [2.0, 1.0], "points"),
        (["columns", 0, "points"], DELETE, "points"),
        (["columns", 0, "points"], ["a"], r"columns\[0\]"),
        (["columns", 0, "atoms", 0], 0, "points"),
        (["columns", 0, "counts", 0], -1, "none negative"),
        (["columns", 0, "counts", 0], 1.5, "integers"),
        (["columns", 0, "counts"], [1], "counts"),
        (["columns", 0, "means"], [1.0], "means"),
        (["columns", 0, "groups"], [1, 2], "groups"),
        (["columns", 0, "groups"], [0, 10**6], "groups"),
        (["columns", 0, "groups"], [], "groups"),
        (["columns", 1, "points", 0], 2**70, r"columns\[1\]"),
        (["columns", 2, "categories", 0], 5, "categories"),
        (["columns", 2, "categories", 0], "ü", "content does not have the id|each once"),
        (["columns", 2, "others"], DELETE, r"columns\[2\]"),
        (["columns", 2, "others", "data"], "!!!", r"columns\[2\]"),
        (["columns", 2, "others", "type"], "float64", r"columns\[2\]"),
        (["columns", 2, "others", "shape"], [10**15], "believable"),
        (["columns", 2, "others", "shape"], [-1], "believable"),
        (["columns", 2, "others", "shape"], [1], "wanted 8"),
        (["columns", 2, "others_complete"], 1, "others_complete"),
        (["columns", 2, "pools"], [], "pools"),
        (["columns", 2, "pools"], [-1], "pools"),
        (["columns", 2, "pools"], [99], "pools"),
        (["columns", 0, "deviation"], "wide", "deviation"),
        (["columns", 0, "deviation"], -1.0, "deviation"),
        (["columns", 0, "exact"], 1, "exact"),
        (["model"], "a b", "model"),
        (["time_column"], "x", "time_column"),
        (["columns", 0, "counts", 5], 999, "does not have the id"),
        (["id"], "sha256:0", "does not have the id"),
        (["rows"], True, "rows"),
        (["model"], None, "model"),
        (["blocks"], 3, "blocks"),
        (["blocks", "starts"], DELETE, "blocks"),
        (["blocks", "starts"], NOTHING, "blocks"),
        (["blocks", "rows"], NOTHING, "blocks"),
        (["provenance"], [], "provenance"),
    ],
)  # fmt: skip
def test_what_is_foreign_or_corrupt_is_refused_with_the_place(form, path, value, message):
    with pytest.raises(ReferenceFormatError, match=message):
        from_form(through_json_with(broken(form, path, value)))


def through_json_with(form):
    return json.loads(json.dumps(form))


def test_blocks_of_another_shape_or_order_are_refused(form):
    other = to_form(reference_of({"y": np.arange(5.0)}, blocks=np.arange(5) * 60))
    twice = to_form(reference_of({"y": np.arange(5.0)}, blocks=np.arange(5) * 60))
    twice["blocks"]["starts"] = {"type": "uint8", "shape": [5], "data": "eJxjYAACAAAFAAE="}  # five zeros

    with pytest.raises(ReferenceFormatError, match=r"blocks\.counts"):
        from_form(broken(form, ["blocks"], other["blocks"]))
    with pytest.raises(ReferenceFormatError, match="increasing times"):
        from_form(twice)


@pytest.mark.parametrize("document", [None, 3, "x", [], {}, {"format": None}])
def test_documents_that_are_no_references(document):
    with pytest.raises(ReferenceFormatError):
        from_form(document)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data(), value=json_values)
def test_whatever_stands_anywhere_is_read_or_refused_never_an_accident(form, data, value):
    place = form = copy.deepcopy(form)
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else list(range(len(place)))))
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
            place[key] = value
            break
        place = inner

    try:
        from_form(form)
    except ReferenceFormatError as error:
        assert str(error)  # noqa: PT017 - an acceptable answer


def test_detectors_load_neither_scipy_stats_nor_pandas_nor_pyarrow():
    code = (
        "import sys, pkgutil, detectors\n"
        "for m in pkgutil.walk_packages(detectors.__path__, 'detectors.'): __import__(m.name)\n"
        "print([m for m in ('scipy.stats', 'pandas', 'pyarrow', 'pydantic', 'msgspec', 'service') if m in sys.modules])"
    )

    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_the_format_names_itself(form):
    assert form["format"] == FORMAT == "driftline.reference/1"


GOLDEN_ID = "sha256:09a0b5ef3157ddd606e95ea8b12c57e7edb115ffa596c2d9ba0f41e0dd6788da"
