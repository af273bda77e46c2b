"""Cells, readings and sketches: whatever the split, order or grouping of rows, the same bytes."""

import json
import zlib
from collections import Counter
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from detectors.binning import ColumnValues, DictionaryValues, TextValues
from detectors.binning.values import Numbers, selected
from detectors.errors import SketchFormatError
from detectors.learning import Sketch, merged
from detectors.learning import carried as carried_module
from detectors.learning import cells as cells_module
from detectors.learning import column as column_module
from detectors.learning import form as form_module
from detectors.learning import sketch as sketch_module
from detectors.learning.cells import cell_numbers, cells_of, merged_cells
from detectors.learning.framing import Arrays, packed, unpacked
from detectors.learning.reading import reading_of

ROLES = {"out": "output"}


def objects(*values):
    return ColumnValues(values=np.fromiter(values, dtype=np.object_, count=len(values)))


def sketch_of(**columns):
    values = {name: c if not isinstance(c, np.ndarray) else ColumnValues(values=c) for name, c in columns.items()}
    n_rows = max((v.codes.size if isinstance(v, DictionaryValues) else len(v.cells) if isinstance(v, TextValues) else v.values.size) for v in values.values())  # fmt: skip
    return Sketch.of(values, n_rows, ROLES)


@pytest.fixture
def small_limits(monkeypatch):
    """Limits that random rows reach."""
    monkeypatch.setattr(cells_module, "CELLS_MAX", 8)
    monkeypatch.setattr(form_module, "CELLS_MAX", 8)
    monkeypatch.setattr(column_module, "NAMES_MAX", 4)
    monkeypatch.setattr(column_module, "SPELLINGS_MAX", 4)
    monkeypatch.setattr(column_module, "NAME_BYTES_MAX", 16)
    monkeypatch.setattr(carried_module, "PATTERNS_MAX", 5)
    monkeypatch.setattr(sketch_module, "COLUMNS_MAX", 3)


# --- cells ----------------------------------------------------------------------------------------------------------

floats = st.floats(allow_nan=False, width=64) | st.sampled_from([0.0, -0.0, 5e-324, -5e-324, 1.7e308, np.inf, -np.inf])


def naive_cells(values, limit):
    """The smallest shift at which Python integers of the sorted doubles fit."""
    finite = [v + 0.0 for v in values if np.isfinite(v)]
    ordered = sorted(set(finite))
    keys = {v: int(cell_numbers(np.array([v]), 0)[0]) for v in ordered}
    shift = next(s for s in range(64) if len({keys[v] >> s for v in ordered}) <= limit)
    cells = {}
    for v in finite:
        cells.setdefault(keys[v] >> shift, []).append(v)
    return shift, [(min(c), max(c), len(c)) for _, c in sorted(cells.items())]


def as_tuples(cells):
    return cells.shift, list(zip(cells.lows.tolist(), cells.highs.tolist(), cells.counts.tolist(), strict=True))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(floats, max_size=60))
def test_cells_are_the_narrowest_that_are_not_too_many(small_limits, values):
    cells = cells_of(np.array(values))

    assert as_tuples(cells) == naive_cells(values, 8)
    assert (cells.below, cells.above) == (values.count(-np.inf), values.count(np.inf))
    assert cells.total == len(values)
    assert not np.signbit(cells.lows[cells.lows == 0]).any()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.lists(floats, max_size=30), max_size=6), st.randoms())
def test_cells_of_parts_add_up_to_those_of_the_whole(small_limits, parts, random):
    whole = cells_of(np.array([v for part in parts for v in part]))
    some = [cells_of(np.array(part)) for part in parts]
    random.shuffle(some)
    while len(some) > 2:
        some = [merged_cells(some[:2]), *some[2:]]
    together = merged_cells(some)

    assert as_tuples(together) == as_tuples(whole)
    assert (together.below, together.above) == (whole.below, whole.above)


@given(hnp.arrays(np.float64, st.integers(2, 50), elements=st.floats(allow_nan=False, allow_infinity=False)))
def test_cell_numbers_are_in_the_order_of_the_values(values):
    ordered = np.unique(values) + 0.0

    numbers = cell_numbers(ordered, 0).tolist()

    assert all(a < b for a, b in pairwise(numbers))
    for shift in (1, 20, 52, 63):
        assert cell_numbers(ordered, shift).tolist() == [number >> shift for number in numbers]


def test_weights_are_counts():
    values = np.array([0.5, -np.inf, 0.5, np.inf, 2.0])
    cells = cells_of(values, np.array([3, 4, 1, 2, 5]))

    assert as_tuples(cells) == (0, [(0.5, 0.5, 4), (2.0, 2.0, 5)])
    assert (cells.below, cells.above, cells.finite, cells.total) == (4, 2, 9, 15)


def test_a_column_of_two_thousand_values_is_known_exactly_and_a_normal_one_to_thousandths():
    rng = np.random.default_rng(0)
    few, many = cells_of(rng.integers(0, 2048, 50_000).astype(float)), cells_of(rng.standard_normal(50_000))

    assert few.shift == 0
    assert few.single.all()
    assert 1024 < many.lows.size <= 2048
    assert many.counts.max() < 0.005 * 50_000


# --- readings -------------------------------------------------------------------------------------------------------


def facts(reading):
    weights = np.ones(reading.numbers.size, int) if reading.weights is None else reading.weights
    numbers = Counter()
    for number, weight in zip(reading.numbers.tolist(), weights.tolist(), strict=True):
        numbers[number] += weight
    whole = {
        "numbers": dict(numbers), "names": dict(reading.names), "spelled": reading.spelled, "missing": reading.missing,
        "nulls": reading.nulls, "trues": reading.trues, "falses": reading.falses, "others": reading.others, "lossy": reading.lossy,
    }  # fmt: skip
    return {key: value for key, value in whole.items() if value or value is None}


BIG = 2**60 + 1


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (ColumnValues(values=np.array([1.5, np.nan, 1.5])), {"numbers": {1.5: 2}, "missing": 1}),
        (ColumnValues(values=np.array([1, 2, 2]), missing=np.array([True, False, False])), {"numbers": {2.0: 2}, "missing": 1}),
        (ColumnValues(values=np.array([1.0, 2.0, np.nan], dtype=np.float32)), {"numbers": {1.0: 1, 2.0: 1}, "missing": 1}),
        (ColumnValues(values=np.array([0.5], dtype=np.float32)), {"numbers": {0.5: 1}, "spelled": None}),
        (ColumnValues(values=np.array([123456792], dtype=np.float32)), {"numbers": {123456792.0: 1}, "spelled": None}),
        (ColumnValues(values=np.array([True, False, True])), {"trues": 2, "falses": 1}),
        (ColumnValues(values=np.array(["a", "b", "a"])), {"names": {"a": 2, "b": 1}}),
        (ColumnValues(values=np.array(["2011-01-01", "NaT"], dtype="M8[us]")), {"names": {"2011-01-01T00:00:00.000000": 1}, "missing": 1}),
        (ColumnValues(values=np.array([1j])), {"others": 1}),
        (ColumnValues(values=np.array([2**53, BIG], dtype=np.int64)), {"numbers": {2.0**53: 1, 2.0**60: 1}, "spelled": {(str(BIG), 2.0**60): 1}, "lossy": True}),
        (ColumnValues(values=np.array([2**63], dtype=np.uint64)), {"numbers": {2.0**63: 1}, "spelled": {(str(2**63), 2.0**63): 1}}),
        (objects(1.5, 2, None, 2), {"numbers": {1.5: 1, 2.0: 2}, "missing": 1}),
        (objects("a", None, "a", "\ud800"), {"names": {"a": 2}, "missing": 1, "others": 1}),
        (objects(1, True, False, "x", None, [1], b"y", b"\xff", np.nan), {"numbers": {1.0: 1}, "trues": 1, "falses": 1, "names": {"x": 1, "y": 1}, "missing": 2, "others": 2}),
        (objects(BIG, 0.5), {"numbers": {2.0**60: 1, 0.5: 1}, "spelled": {(str(BIG), 2.0**60): 1}, "lossy": True}),
        (objects(2.0**60, 3), {"numbers": {2.0**60: 1, 3.0: 1}}),
        (objects(10**400, -(10**400), 1), {"numbers": {np.inf: 1, -np.inf: 1, 1.0: 1}, "lossy": True}),
        (objects(10**299, None), {"numbers": {1e299: 1}, "spelled": {(str(10**299), 1e299): 1}, "missing": 1, "lossy": True}),
        (objects(Decimal("1.10"), np.float32(0.1), np.bool_(True)), {"numbers": {1.1: 1, float(np.float32(0.1)): 1}, "trues": 1, "spelled": {("1.10", 1.1): 1, ("0.1", float(np.float32(0.1))): 1}}),
        (DictionaryValues(codes=np.array([0, 1, -1, 0]), dictionary=["a", "b", "c"]), {"names": {"a": 2, "b": 1}, "missing": 1}),
        (DictionaryValues(codes=np.array([0, 0, 1, 2, 3]), dictionary=[1, 2.5, "x", True]), {"numbers": {1.0: 2, 2.5: 1}, "names": {"x": 1}, "trues": 1}),
        (DictionaryValues(codes=np.array([0, 0]), dictionary=[1.5]), {"numbers": {1.5: 2}}),
        (DictionaryValues(codes=np.array([], dtype=int), dictionary=[]), {}),
        (Numbers(values=np.array([1.0, np.nan, 0.0, 0.0]), missing=np.array([0, 0, 1, 0], bool), invalid=np.array([0, 0, 0, 1], bool)), {"numbers": {1.0: 1}, "missing": 2, "others": 1}),
        (Numbers(values=np.array([BIG])), {"numbers": {2.0**60: 1}, "spelled": {(str(BIG), 2.0**60): 1}, "lossy": True}),
        (TextValues(cells=["1", "2.5", "", "1", "1e+20"]), {"numbers": {1.0: 2, 2.5: 1, 1e20: 1}, "missing": 1}),
        (TextValues(cells=["007", "1.50", "1.0", "-0", "inf"]), {"numbers": {7.0: 1, 1.5: 1, 1.0: 1, 0.0: 1, np.inf: 1}, "spelled": {("007", 7.0): 1, ("1.50", 1.5): 1, ("1.0", 1.0): 1, ("-0", 0.0): 1}}),
        (TextValues(cells=["NA", "x", "NA", "3"]), {"numbers": {3.0: 1}, "names": {"NA": 2, "x": 1}, "nulls": 2}),
        (TextValues(cells=[str(BIG), str(BIG), "3e60"]), {"numbers": {2.0**60: 2, 3e60: 1}, "spelled": {(str(BIG), 2.0**60): 2, ("3e60", 3e60): 1}, "lossy": True}),
    ],
)  # fmt: skip
def test_values_are_read_as_numbers_and_as_categories(values, expected):
    assert facts(reading_of(values)) == expected


# --- sketches -------------------------------------------------------------------------------------------------------

cells_of_rows = (
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.floats()
    | st.sampled_from([BIG, BIG + 1, 2**70, 10**400, 0.1, -0.0, 1e300])
    | st.text("ab1.", max_size=3)
    | st.sampled_from(["x" * 20, "\udfff", "é" * 9])
    | st.just([])
)
rows = st.lists(st.dictionaries(st.sampled_from(["a", "b", "c", "d", "out"]), cells_of_rows, max_size=5), max_size=30)


def batch_of(some):
    columns = {}
    for name in sorted({name for row in some for name in row}):
        values = np.fromiter((row.get(name) for row in some), dtype=np.object_, count=len(some))
        absent = np.array([name not in row for row in some])
        columns[name] = ColumnValues(values=values, absent=absent if absent.any() else None)
    return Sketch.of(columns, len(some), ROLES)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(rows, st.lists(st.integers(0, 3), min_size=30, max_size=30), st.randoms())
def test_any_split_order_and_grouping_of_rows_gives_the_same_bytes(small_limits, all_rows, part_of, random):
    whole = batch_of(all_rows)
    parts = [[row for row, part in zip(all_rows, part_of, strict=False) if part == number] for number in range(4)]
    for part in parts:
        random.shuffle(part)
    sketches = [batch_of(part) for part in parts]
    random.shuffle(sketches)
    left = merged([merged(sketches[:2]), Sketch.from_bytes(merged(sketches[2:]).to_bytes())])
    onebyone = [batch_of([row]) for row in all_rows]

    assert left.to_bytes() == whole.to_bytes()
    assert merged(sketches).to_bytes() == whole.to_bytes()
    assert merged(onebyone).to_bytes() == whole.to_bytes()
    assert Sketch.from_bytes(whole.to_bytes()).to_bytes() == whole.to_bytes()


@settings(deadline=None)
@given(st.lists(st.sampled_from(["1", "1.0", "NA", "", "x", "1_0", "2.50", "1e400", str(BIG), "inf"]) | st.text(max_size=4), min_size=1, max_size=40), st.integers(1, 39))  # fmt: skip
def test_cells_of_a_text_format_add_up_too(cells, cut):
    whole = sketch_of(x=TextValues(cells=cells))
    parts = [sketch_of(x=TextValues(cells=part)) for part in (cells[cut:], cells[:cut]) if part]

    assert merged(parts).to_bytes() == whole.to_bytes()


def test_arrays_of_every_kind_add_up_at_the_real_limits():
    rng = np.random.default_rng(1)
    n = 30_000
    columns = {
        "x": ColumnValues(values=rng.standard_normal(n)),
        "i": ColumnValues(values=rng.integers(-5, 5, n), missing=rng.random(n) < 0.1),
        "big": ColumnValues(values=rng.integers(2**60, 2**61, n)),
        "single": ColumnValues(values=rng.random(n).astype(np.float32)),
        "id": DictionaryValues(codes=np.arange(n), dictionary=[f"id{i}" for i in range(n)]),
        "c": ColumnValues(values=rng.choice(["a", "b"], n), absent=rng.random(n) < 0.3),
        "out": ColumnValues(values=rng.random(n) < 0.2),
    }
    order = rng.permutation(n) % 7
    parts = [Sketch.of({k: selected(v, order == p) for k, v in columns.items()}, int((order == p).sum()), ROLES) for p in range(7)]  # fmt: skip

    whole = Sketch.of(columns, n, ROLES)

    assert merged(parts[::-1]).to_bytes() == whole.to_bytes()
    assert whole.columns["id"].names is None
    assert whole.columns["big"].spelled is None
    assert whole.columns["x"].cells.shift > 0


def test_nothing_makes_a_sketch_of_no_rows():
    nothing = merged([])

    assert nothing.rows == 0
    assert nothing.to_bytes() == Sketch.of({}, 0, {}).to_bytes()
    assert nothing.to_bytes() == Sketch.of({"x": ColumnValues(values=np.array([]))}, 0, {}).to_bytes()
    assert Sketch.from_bytes(nothing.to_bytes()).rows == 0


def test_a_column_without_a_row_that_carries_it_is_not_there():
    nobody = ColumnValues(values=np.array([1.0, 2.0]), absent=np.array([True, True]))

    assert list(sketch_of(x=np.arange(2.0), y=nobody).columns) == ["x"]


def test_texts_that_are_long_make_a_column_free_text():
    assert sketch_of(x=np.array(["é" * 512])).columns["x"].names == {"é" * 512: 1}
    assert sketch_of(x=np.array(["é" * 513])).columns["x"].names is None


def test_rows_are_known_by_the_columns_they_carry():
    absent = np.array([False, True, True])
    sketch = sketch_of(
        id=np.arange(3),
        x=ColumnValues(values=np.arange(3.0), absent=absent),
        out=ColumnValues(values=np.arange(3.0), absent=~absent),
    )

    assert sketch.carried.rows_of("input", ["id", "x"]) == 3
    assert sketch.carried.rows_of("input", ["x"]) == 1
    assert sketch.carried.rows_of("output", ["out"]) == 2
    assert sketch.carried.role_rows == {"input": 3, "output": 2}
    assert sketch.columns["out"].role == "output"


def test_rows_of_too_many_patterns_are_known_by_role():
    rng = np.random.default_rng(2)
    gaps = rng.random((12, 2000)) < 0.5
    columns = {f"c{i}": ColumnValues(values=np.zeros(2000), absent=gap) for i, gap in enumerate(gaps)}
    roles = {f"c{i}": "output" for i in range(6)}
    halves = [Sketch.of({k: selected(v, np.arange(2000) // 100 == p) for k, v in columns.items()}, 100, roles) for p in range(20)]  # fmt: skip

    whole, parts = Sketch.of(columns, 2000, roles), merged(halves)

    assert all(half.carried.patterns is not None for half in halves)
    assert whole.carried.patterns is None
    assert parts.to_bytes() == whole.to_bytes()
    assert whole.carried.rows_of("output", ["c0"]) == 2000 - int(gaps[:6].all(axis=0).sum())


def test_further_columns_are_dropped_by_name_and_their_values_counted(small_limits):
    one, other = sketch_of(b=np.arange(2.0), d=np.arange(2.0), c=np.arange(2.0)), sketch_of(a=np.arange(3.0))

    both = merged([one, other])

    assert list(both.columns) == ["a", "b", "c"]
    assert both.values_dropped == 2
    assert both.carried.patterns is None
    assert Sketch.from_bytes(both.to_bytes()).values_dropped == 2
    assert sketch_of(**{name: np.arange(2.0) for name in "abcde"}).values_dropped == 4


def test_a_column_that_was_an_output_once_is_one():
    one = Sketch.of({"x": ColumnValues(values=np.arange(2.0))}, 2, {})
    other = Sketch.of({"x": ColumnValues(values=np.arange(2.0))}, 2, {"x": "output"})

    assert merged([one, other]).columns["x"].role == "output"


# --- bytes ----------------------------------------------------------------------------------------------------------


def example():
    rng = np.random.default_rng(3)
    return sketch_of(
        x=rng.standard_normal(3000),
        t=TextValues(cells=[*["007", "1", "NA", "x"] * 700, *["2.5"] * 200]),
        gap=ColumnValues(values=np.arange(3000.0) % 3, absent=rng.random(3000) < 0.5),
    )


def test_truncated_bytes_are_refused_at_every_length():
    data = example().to_bytes()

    for size in [*range(400), *range(400, len(data), 997), len(data) - 1]:
        with pytest.raises(SketchFormatError):
            Sketch.from_bytes(data[:size])


def test_flipped_bits_are_refused():
    data = bytearray(example().to_bytes())
    for place in range(0, len(data), 101):
        data[place] ^= 1 << place % 8
        with pytest.raises(SketchFormatError):
            Sketch.from_bytes(bytes(data))
        data[place] ^= 1 << place % 8


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(data):
    for hostile in (data, b"DLS\x01" + zlib.crc32(data).to_bytes(4, "little") + data):
        with pytest.raises(SketchFormatError):
            Sketch.from_bytes(hostile)


def test_a_later_format_is_named():
    data = example().to_bytes()

    with pytest.raises(SketchFormatError, match="format 2: this release reads 1"):
        Sketch.from_bytes(data[:3] + b"\x02" + data[4:])


def taken_apart(sketch):
    kept = []

    def read(header, arrays):
        kept.append((header, list(arrays._arrays)))
        arrays._taken = len(arrays._arrays)

    unpacked(sketch.to_bytes(), read)
    return kept[0]


def put_together(header, arrays):
    return packed(header, Arrays(arrays))


DELETE = object()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["rows"], -1),
        (["rows"], 1.0),
        (["rows"], 2),
        (["rows"], DELETE),
        (["role_rows", "input"], 10**6),
        (["role_rows"], {}),
        (["values_dropped"], True),
        (["columns"], None),
        (["columns", 0, 0], "z"),
        (["columns", 0, 0], 3),
        (["columns", 0], ["a", {}]),
        (["columns", 0, 1, "role"], "label"),
        (["columns", 0, 1, "rows"], 0),
        (["columns", 0, 1, "lossy"], 1),
        (["columns", 0, 1, "nulls"], 2000),
        (["columns", 0, 1, "shift"], 64),
        (["columns", 0, 1, "shift"], 3),
        (["columns", 2, 1, "shift"], 63),
        (["columns", 2, 1, "shift"], 0),
        (["columns", 1, 1, "names", "x"], 3),
        (["columns", 1, 1, "names"], {f"{i}": 0 for i in range(10_001)}),
        (["columns", 1, 1, "names"], 3),
        (["columns", 1, 1, "spelled", 0, 0], 7),
        (["columns", 1, 1, "spelled", 0, 1], 7),
        (["columns", 1, 1, "spelled", 0, 2], 70_000),
        (["columns", 1, 1, "spelled"], [["1.0", 1.0, 1]] * 2),
        (["columns", 1, 1, "spelled"], 3),
        (["patterns"], 3),
        (["patterns"], 257),
        (["patterns"], None),
    ],
)
def test_inconsistent_headers_are_refused(path, value):
    header, arrays = taken_apart(example())
    place = header = json.loads(json.dumps(header))
    for key in path[:-1]:
        place = place[key]
    if value is DELETE:
        del place[path[-1]]
    else:
        place[path[-1]] = value

    with pytest.raises(SketchFormatError):
        Sketch.from_bytes(put_together(header, arrays))


@pytest.mark.parametrize(
    ("number", "change"),
    [
        (0, lambda a: a[::-1].copy()),
        (0, lambda a: np.where(a == a[0], np.nan, a)),
        (0, lambda a: a[:-1]),
        (0, lambda a: np.ones(a.size, dtype=np.int64)),
        (1, lambda a: np.zeros(a.size, dtype=np.int64)),
        (1, lambda a: a.astype(np.float64)),
        (5, lambda a: a[::-1].copy()),
        (5, lambda a: np.repeat(a, 3)),
        (-2, np.zeros_like),
        (-2, lambda a: a[:-1]),
    ],
)
def test_inconsistent_arrays_are_refused(number, change):
    header, arrays = taken_apart(example())
    arrays[number] = change(arrays[number])

    with pytest.raises(SketchFormatError):
        Sketch.from_bytes(put_together(header, arrays))


def test_arrays_that_are_too_few_or_too_many_are_refused():
    header, arrays = taken_apart(example())

    for wrong in (arrays[:-1], [*arrays, arrays[-1]]):
        with pytest.raises(SketchFormatError):
            Sketch.from_bytes(put_together(header, wrong))


def resealed(body):
    return b"DLS\x01" + zlib.crc32(body).to_bytes(4, "little") + body


def test_bodies_of_a_wrong_length_are_refused():
    body = example().to_bytes()[8:]
    size = int.from_bytes(body[:4], "little")
    trailing = (size + 1).to_bytes(4, "little") + body[4 : 4 + size] + b"!" + body[4 + size :]

    for wrong in (body + b"!", trailing, b"", b"\x00" * 4):
        with pytest.raises(SketchFormatError):
            Sketch.from_bytes(resealed(wrong))
