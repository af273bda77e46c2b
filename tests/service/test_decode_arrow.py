"""Arrow IPC streams and Parquet bodies: every type, and what strangers may send."""

import datetime as dt
import io
import struct
import subprocess
import sys
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from bodies import arrow_body, counts_in, decoded, parquet_body
from hypothesis import given
from hypothesis import strategies as st

from detectors.binning import DictionaryValues
from detectors.columns import CategoricalColumn, NumericColumn
from service.errors import DecodeError
from service.ingest.decode import RowSchema, decode_arrow, decode_parquet
from service.ingest.decode.ipc_frames import CheckedFrames
from service.ingest.decode.parquet import ParquetLimits

NUMBER = NumericColumn(name="a", role="input", points=np.array([0.0, 1.0]), atoms=np.ones(2, np.bool_))
WORD = CategoricalColumn(name="a", role="input", categories=("x", "y"), pools=(0,), others=np.empty(0, np.uint64))
BODIES = {"arrow": arrow_body, "parquet": parquet_body}


def refused(form, body, *names):
    with pytest.raises(DecodeError) as caught:
        decoded(form, body, RowSchema(names or ("a",)))
    return caught.value


def outcome(form, body, *names):
    try:
        return decoded(form, body, RowSchema(names)), 200
    except DecodeError as error:
        return [], error.status


def bins(column, form, array):
    """How often each bin of a column: first its value bins, then missing and invalid."""
    return counts_in([column], decoded(form, BODIES[form](pa.table({"a": array})), RowSchema(["a"])))


@pytest.mark.parametrize("form", BODIES)
@pytest.mark.parametrize(
    "array",
    [
        pa.array([-1, 0, 1, None], t) for t in (pa.int8(), pa.int32(), pa.int64(), pa.float16(), pa.float32(), pa.float64())
    ] + [
        pa.array([Decimal("-1.5"), Decimal(0), Decimal(1), None]), pa.array([-1, 0, 1, None]).dictionary_encode(),
        pa.array([-1.5, 0.0, 1.0, None]).dictionary_encode(),
    ],
    ids=lambda array: str(array.type),
)  # fmt: skip
def test_number_types_are_numbers(form, array):
    below, at_zero, between, at_one, above, missing, invalid = bins(NUMBER, form, array)

    assert (below, at_zero, between, at_one, above, missing, invalid) == (1, 1, 0, 1, 0, 1, 0)


@pytest.mark.parametrize("form", BODIES)
def test_unsigned_integers_runs_and_nulls_are_read(form):
    assert bins(NUMBER, form, pa.array([2**64 - 1, 0], pa.uint64())) == [0, 1, 0, 0, 1, 0, 0]
    assert bins(NUMBER, form, pa.array([True, False, None])) == [0, 1, 0, 1, 0, 1, 0]
    assert bins(NUMBER, form, pa.nulls(3)) == [0, 0, 0, 0, 0, 3, 0]
    assert bins(WORD, form, pa.nulls(3)) == [0, 0, 0, 0, 3, 0]
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), pa.array([1.0, None]))
    if form == "arrow":
        assert bins(NUMBER, form, runs) == [0, 0, 0, 2, 0, 1, 0]


@pytest.mark.parametrize("form", BODIES)
@pytest.mark.parametrize(
    "array",
    [
        pa.array(["x", "y", "q", None], t) for t in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())
    ] + [
        pa.array(["x", "y", "q", None]).dictionary_encode(), pa.array([b"x", b"y", b"q", None]).dictionary_encode(),
        pa.DictionaryArray.from_arrays(pa.array([5, 1, 3, None]), pa.array(["a", "y", "b", "q", "c", "x"])),
        pa.ExtensionArray.from_storage(pa.json_(), pa.array(["x", "y", "q", None])),
    ],
    ids=lambda array: str(array.type),
)  # fmt: skip
def test_text_types_are_categories(form, array):
    assert bins(WORD, form, array) == [1, 1, 0, 1, 1, 0]
    assert bins(NUMBER, form, array)[-2:] == [1, 3]


@pytest.mark.parametrize(
    "array",
    [
        pa.array(["x", "y", "q", None], pa.string_view()), pa.array(["x", "y", "q", None], pa.binary_view()),
        pa.DictionaryArray.from_arrays(pa.array([0, 1, 3, 2]), pa.array(["x", "y", None, "q"])),
    ],
    ids=lambda array: str(array.type),
)  # fmt: skip
def test_text_types_that_only_arrow_has_are_categories(array):
    assert bins(WORD, "arrow", array) == [1, 1, 0, 1, 1, 0]


@pytest.mark.parametrize("form", BODIES)
@pytest.mark.parametrize(
    "array",
    [
        pa.array([[1], [1, 2], [], None]), pa.array([{"q": 1}, {"q": 2}, {}, None]), pa.array([[1], [2], [3], None], pa.list_(pa.int8(), 1)),
        pa.array([[("k", 1)], [], [], None], pa.map_(pa.string(), pa.int8())), pa.array([b"1" * 70, b"2" * 70, b"3" * 70, None], pa.binary(70)),
        pa.array([dt.time(1), dt.time(2), dt.time(3), None]),
    ],
    ids=lambda array: str(array.type),
)  # fmt: skip
def test_what_no_column_can_be_made_of_is_invalid(form, array):
    missing = 1 if form == "arrow" or pa.types.is_time(array.type) else 0  # nested columns of Parquet are not read

    assert bins(NUMBER, form, array) == [0, 0, 0, 0, 0, missing, 4 - missing]


def test_types_that_only_arrow_has_are_invalid():
    union = pa.UnionArray.from_sparse(pa.array([0, 0], pa.int8()), [pa.array([1.0, 2.0])])
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), pa.array(["x", "y"]))
    views = pa.array([[1], None, [2]], pa.list_view(pa.int8()))
    coded_lists = pa.DictionaryArray.from_arrays(pa.array([0, 0, None]), pa.array([[1]]))
    intervals = pa.array([(1, 2, 3), None], pa.month_day_nano_interval())

    assert bins(NUMBER, "arrow", union)[-2:] == [0, 2]
    assert bins(WORD, "arrow", runs)[-2:] == [0, 3]
    assert bins(NUMBER, "arrow", views)[-2:] == [1, 2]
    assert bins(NUMBER, "arrow", coded_lists)[-2:] == [1, 2]
    assert bins(NUMBER, "arrow", intervals)[-2:] == [1, 1]


@pytest.mark.parametrize("form", BODIES)
def test_times_keep_what_their_type_says_of_zones(form):
    times = [dt.datetime(2012, 3, 5, 6), None]
    table = pa.table(
        {
            "zoned": pa.array(
                [dt.datetime(2012, 3, 5, 6, tzinfo=dt.UTC), None], pa.timestamp("ns", "America/New_York")
            ),
            "local": pa.array(times, pa.timestamp("s")),
            "day": pa.array([dt.date(2012, 3, 5), None]),
        }
    )

    [part] = decoded(form, BODIES[form](table), RowSchema(["zoned", "local", "day"]))

    assert part.zoned == {"zoned"}
    assert part.columns["zoned"].values[0] == part.columns["local"].values[0] == np.datetime64("2012-03-05T06:00")
    assert part.columns["day"].values[0] == np.datetime64("2012-03-05")


@pytest.mark.parametrize("form", BODIES)
def test_unknown_columns_are_ignored_and_counted(form):
    [part] = decoded(
        form, BODIES[form](pa.table({"a": [1, 2], "x": [[1], [2]], "y": ["q", "q"]})), RowSchema(["a", "b"])
    )

    assert list(part.columns) == ["a"]
    assert (part.rows, list(part.numbers), part.ignored, part.ignored_cells) == (2, [1, 2], {"x", "y"}, 4)


@pytest.mark.parametrize("form", BODIES)
def test_a_body_without_a_known_column_has_rows_all_the_same(form):
    [part] = decoded(form, BODIES[form](pa.table({"x": [1, 2]})), RowSchema(["a"]))

    assert (part.rows, part.columns) == (2, {})
    assert decoded(form, BODIES[form](pa.table({"a": pa.array([], pa.int8())})), RowSchema(["a"])) == []


@pytest.mark.parametrize("form", BODIES)
def test_an_open_schema_takes_up_every_column(form):
    schema = RowSchema.open()

    decoded(form, BODIES[form](pa.table({"a": [1], "b": ["x"]})), schema)

    assert schema.names == ("a", "b")


@pytest.mark.parametrize("form", BODIES)
def test_batches_are_cut_again_at_65_536_rows(form):
    table = pa.table({"a": np.arange(150_000.0)})
    body = BODIES[form](table, **({"row_group_size": 100_000} if form == "parquet" else {"chunk_rows": 100_000}))

    parts = decoded(form, body, RowSchema(["a"]))

    rows = [65_536, 34_464, 50_000] if form == "arrow" else [65_536, 65_536, 18_928]
    assert [part.rows for part in parts] == rows
    assert [part.numbers[0] for part in parts] == [1, 1 + rows[0], 1 + rows[0] + rows[1]]
    assert np.concatenate([part.columns["a"].values for part in parts]).tolist() == list(range(150_000))


@pytest.mark.parametrize("form", BODIES)
def test_a_name_that_comes_twice_is_refused(form):
    table = pa.table([[1], [2]], names=["a", "a"])

    assert refused(form, BODIES[form](table)).status == 422


@pytest.mark.parametrize("form", BODIES)
def test_too_many_columns_are_refused(form):
    table = pa.table({f"c{i}": [1] for i in range(10_001)})

    assert refused(form, BODIES[form](table)).status == 413


MIXED = pa.table({"a": [1.5, None, 3.0], "b": pa.array(["x", "y", None]).dictionary_encode(), "n": [[1], None, []]})


@pytest.mark.parametrize("options", [{}, {"compression": "zstd"}, {"compression": "lz4"}, {"use_legacy_format": True}])
def test_a_stream_cut_off_anywhere_is_refused(options):
    body = arrow_body(MIXED, **options)
    end_marker = 4 if options.get("use_legacy_format") else 8

    for end in range(len(body)):
        if end == len(body) - end_marker:  # a stream may also just end
            assert decoded("arrow", body[:end], RowSchema(["a"]))[0].rows == 3
            continue
        parts, status = outcome("arrow", body[:end], "a", "b", "n")
        assert status == 400 or parts == []  # cut off between two messages


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd", "gzip"])
def test_parquet_cut_off_anywhere_is_refused(compression):
    body = parquet_body(MIXED, compression=compression)

    for end in range(len(body)):
        assert refused("parquet", body[:end], "a", "b", "n").status == 400


@pytest.mark.parametrize("form", BODIES)
@given(data=st.data())
def test_changed_bytes_are_read_or_refused(form, data):
    body = bytearray(BODIES[form](MIXED, compression="zstd"))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))

    parts, status = outcome(form, bytes(body), "a", "b", "n")

    assert status in {200, 400, 413, 422}
    assert sum(part.rows for part in parts) <= 100_000


@pytest.mark.parametrize("form", BODIES)
@given(body=st.binary(max_size=80), framed=st.booleans())
def test_random_bytes_are_refused(form, body, framed):
    if framed:
        body = (
            b"PAR1" + body + b"PAR1"
            if form == "parquet"
            else b"\xff\xff\xff\xff" + len(body).to_bytes(4, "little") + body
        )

    assert refused(form, body).status in {400, 413}


def test_a_message_may_not_declare_more_than_it_may_have():
    body = arrow_body(pa.table({"a": [1.0, 2.0]}))

    assert refused("arrow", b"\xff\xff\xff\xff" + (1 << 30).to_bytes(4, "little")).status == 413
    assert refused("arrow", (-5).to_bytes(4, "little", signed=True)).status == 400
    sixteen = [at for at in range(0, len(body), 4) if body[at : at + 8] == (16).to_bytes(8, "little")]
    for size in (1 << 40, (1 << 63) - 1, -1):  # for the 16 bytes of the body, or of its one buffer
        edited = [body[:at] + size.to_bytes(8, "little", signed=True) + body[at + 8 :] for at in sixteen]
        assert {outcome("arrow", changed, "a")[1] for changed in edited} <= {400, 413}


def framed(*, rows=1, count=1, offset=0, length=8, vtable=12, inflated=64):
    """A record batch with one compressed buffer, as the flatbuffers of `ipc_frames` lie: table behind vtable."""
    body = inflated.to_bytes(8, "little", signed=True)
    message = struct.pack("<I6H", 16, 12, 20, 0, 4, 8, 12) + struct.pack("<iB3xIq", 12, 3, 48 - 24, len(body))
    batch = struct.pack("<6H", 12, 20, 4, 0, 12, 16) + struct.pack("<iqII", vtable, rows, 68 - 60, 0)
    metadata = message + batch + struct.pack("<Iqq", count, offset, length)
    return b"\xff\xff\xff\xff" + len(metadata).to_bytes(4, "little") + metadata + body


def frames_status(body):
    try:
        assert CheckedFrames(io.BytesIO(body)).read(1 << 20) == body
    except DecodeError as error:
        return error.status
    return 200


def test_messages_are_looked_over_by_hand():
    assert frames_status(framed()) == frames_status(framed(inflated=-1)) == frames_status(framed(length=0)) == 200
    assert (
        frames_status(framed(inflated=1 << 40))
        == frames_status(framed(rows=1 << 40))
        == frames_status(framed(rows=-1))
        == 413
    )
    assert frames_status(framed(count=2)) == frames_status(framed(offset=-1)) == frames_status(framed(offset=9)) == 400
    assert frames_status(framed(vtable=49)) == frames_status(framed(vtable=-1000)) == 400


def test_behind_its_end_a_stream_has_nothing():
    frames = CheckedFrames(io.BytesIO(framed() + b"\0\0\0\0" + b"more"))

    assert frames.read() == framed() + b"\0\0\0\0"
    assert frames.read(1) == frames.read() == b""


@pytest.mark.parametrize("change", [1, 2, 16, 0x7F, 0xFF])
def test_any_byte_of_a_footer_may_be_changed(change):
    body = parquet_body(MIXED, compression="none", store_schema=False)
    footer = len(body) - 8 - int.from_bytes(body[-8:-4], "little")

    for at in range(footer, len(body)):
        changed = body[:at] + bytes([body[at] ^ change]) + body[at + 1 :]
        parts, status = outcome("parquet", changed, "a", "b", "n")
        assert status in {200, 400, 413, 422}
        assert sum(part.rows for part in parts) <= 1000


def test_rows_that_take_no_space_are_bounded_all_the_same():
    some = pa.record_batch([pa.nulls(60_000)], ["a"])
    many = pa.record_batch([pa.nulls(60_000_000)], ["a"])

    assert decoded("arrow", arrow_body(pa.Table.from_batches([some])), RowSchema(["a"]))[0].rows == 60_000
    error = refused("arrow", arrow_body(pa.Table.from_batches([many])))
    assert (error.status, "60,000,000 rows" in error.detail) == (413, True)


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_compressed_messages_are_bounded_by_what_they_inflate_to(compression):
    fits = pa.table({"a": np.zeros(1 << 22)})
    bomb = pa.table({"a": np.zeros(1 << 24)})
    words = pa.table({"a": pa.array(["x" * (70 << 20)]).dictionary_encode()})

    assert (
        sum(part.rows for part in decoded("arrow", arrow_body(fits, compression=compression), RowSchema(["a"])))
        == 1 << 22
    )
    for table in (bomb, words):
        error = refused("arrow", arrow_body(table, compression=compression))
        assert (error.status, "inflated" in error.detail) == (413, True)


def test_large_messages_are_refused_before_they_are_read():
    error = refused("arrow", arrow_body(pa.table({"a": np.zeros(9 << 20)})))

    assert (error.status, "smaller record batches" in error.detail) == (413, True)


def test_long_text_in_many_views_is_refused():
    long = b"x" * (1 << 20)
    view = len(long).to_bytes(4, "little") + b"xxxx" + (0).to_bytes(4, "little") + (0).to_bytes(4, "little")
    array = pa.Array.from_buffers(pa.string_view(), 200, [None, pa.py_buffer(view * 200), pa.py_buffer(long)])

    assert refused("arrow", arrow_body(pa.table({"a": array}))).status == 413


def test_a_large_dictionary_is_not_gone_through_for_every_few_rows():
    words = pa.array([f"w{i}" for i in range(1000)])
    table = pa.table({"a": pa.DictionaryArray.from_arrays(pa.array([7, None, 7, 3]), words)})

    [part] = decoded("arrow", arrow_body(table), RowSchema(["a"]))

    values = part.columns["a"]
    assert isinstance(values, DictionaryValues)
    assert (values.codes.tolist(), values.dictionary) == ([0, -1, 0, 1], ["w7", "w3"])


class Source(io.RawIOBase):
    """Gives a few bytes at a time, then fails."""

    def __init__(self, body, error=None, step=3):
        self.body = io.BytesIO(body)
        self.error = error
        self.step = step

    def read(self, size=-1, /):
        found = self.body.read(min(self.step, size))
        if not found and self.error is not None:
            raise self.error
        return found


def test_a_source_may_give_a_few_bytes_at_a_time():
    [part] = decode_arrow(Source(arrow_body(MIXED)), RowSchema(["a"]))

    assert part.rows == 3


@pytest.mark.parametrize(
    "error", [DecodeError(413, "the body is too large"), ConnectionError("gone"), ValueError("mine")]
)
def test_what_the_source_raises_comes_out_unchanged(error):
    with pytest.raises(type(error)) as caught:
        list(decode_arrow(Source(arrow_body(MIXED)[:400], error), RowSchema(["a"])))

    assert caught.value is error


def test_parquet_may_not_declare_more_than_its_limits():
    table = pa.table({"a": np.zeros(3_000), "b": ["word"] * 3_000})
    body = parquet_body(table, compression="zstd", use_dictionary=False, data_page_size=1000)
    schema = RowSchema(["a", "b"])

    for limits, detail in (
        (ParquetLimits(rows_max=2_999), "3,000 rows"), (ParquetLimits(cells_max=5_999), "3,000 rows"), (ParquetLimits(footer_bytes_max=10), "footer"),
        (ParquetLimits(inflated_bytes_max=1000), "inflated"), (ParquetLimits(pages_max=2), "inflated"),
    ):  # fmt: skip
        with pytest.raises(DecodeError, match=detail) as caught:
            list(decode_parquet(body, schema, limits))
        assert caught.value.status == 413
    assert sum(part.rows for part in decode_parquet(body, schema)) == 3_000


def test_pages_that_inflate_to_gigabytes_are_refused():
    array = pa.array(["x" * (300 << 20)])
    body = parquet_body(
        pa.table({"a": array, "b": [1]}), compression="zstd", use_dictionary=False, write_statistics=False
    )

    assert len(body) < 1 << 20
    assert refused("parquet", body).status == 413
    assert sum(part.rows for part in decoded("parquet", body, RowSchema(["b"]))) == 1


def test_an_encoding_that_repeats_long_text_in_few_bytes_is_not_taken():
    table = pa.table({"a": ["x" * 100] * 100})
    body = parquet_body(table, use_dictionary=False, column_encoding={"a": "DELTA_BYTE_ARRAY"})

    error = refused("parquet", body)

    assert (error.status, "DELTA_BYTE_ARRAY" in error.detail) == (422, True)


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("dictionary", [True, False])
def test_every_kind_of_page_is_taken(version, dictionary):
    table = pa.table({"a": ["x", "y", None] * 1000, "f": np.arange(3000.0), "i": pa.array([1, None, 3] * 1000)})
    body = parquet_body(
        table,
        use_dictionary=dictionary,
        data_page_version=version,
        data_page_size=500,
        row_group_size=1700,
        write_page_checksum=True,
    )

    parts = decoded("parquet", body, RowSchema(["a", "f", "i"]))

    assert sum(part.rows for part in parts) == 3000
    assert counts_in([WORD], parts) == [1000, 1000, 0, 0, 1000, 0]
    assert np.concatenate([part.columns["f"].values for part in parts]).tolist() == list(range(3000))


def test_a_repeated_long_text_takes_its_memory_once():
    array = pa.DictionaryArray.from_arrays(pa.array(np.zeros(60_000, np.int32)), pa.array(["x" * (1 << 20)]))

    [part] = decoded("parquet", parquet_body(pa.table({"a": array}), store_schema=False), RowSchema(["a"]))

    assert part.rows == 60_000
    assert len(part.columns["a"].dictionary) == 1


def test_names_with_dots_are_names():
    table = pa.table({"a.b": [1.0, 2.0], "a": [{"c": 1}, {"c": 2}]})

    [part] = decoded("parquet", parquet_body(table), RowSchema(["a.b", "a"]))

    assert part.columns["a.b"].values.tolist() == [1, 2]
    assert part.columns["a"].values.tolist() == [(), ()]


@pytest.mark.parametrize("form", BODIES)
def test_without_pyarrow_the_answer_names_the_extra(form, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    error = refused(form, b"PAR1")

    assert (error.status, "driftline[arrow]" in error.detail) == (415, True)


def test_decoding_json_does_not_import_pyarrow():
    program = "import sys, service.ingest.decode; print('pyarrow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"
