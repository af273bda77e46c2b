"""Rows that cannot be counted as one matrix of numbers are counted column by column, with the same result."""

import numpy as np
import pytest
from making import reference_of
from serving import ROW, served

from detectors.binning import Binner
from service.ingest.blocks import blocks_of
from service.ingest.decode import DecodedRows
from service.ingest.fates import Invalid
from service.ingest.pending import Pending
from service.ingest.positions import column_positions, matrix_positions

NAMES = ("temp", "weather")
CELLS = ((0.5, "clear"), (None, "mist"), (0.25, None), (9.0, "storm"))


class Broken:
    """A binner whose way for matrices fails."""

    def __init__(self, binner):
        self._binner = binner

    def __getattr__(self, name):
        return getattr(self._binner, name)

    def row_positions(self, _matrix):
        raise ArithmeticError


@pytest.fixture(scope="module")
def binner():
    weather = np.array(["clear", "mist", "rain"] * 50, dtype=object)
    return Binner(reference_of({"temp": np.linspace(0.0, 1.0, 150), "weather": weather}).columns)


def block_of(cells):
    decoded = DecodedRows(names=NAMES, cells=cells, numbers=range(1, len(cells) + 1))
    (block,) = blocks_of([Pending(model="m", version="1", decoded=decoded, received_us=0)])
    return block


def by_column(binner, block):
    columns = {name: block.column(name) for name in NAMES}
    part = np.zeros(block.rows, dtype=np.intp)
    return column_positions(binner, columns, part, Invalid(), None)


def test_a_matrix_and_its_columns_have_the_same_places(binner):
    block = block_of(CELLS)

    fast = matrix_positions(binner, block, None, Invalid())

    assert sorted(fast) == sorted(by_column(binner, block))


def test_what_breaks_as_a_matrix_is_left_to_its_columns(binner):
    assert matrix_positions(Broken(binner), block_of(CELLS), None, Invalid()) is None


def test_a_category_that_some_rows_lack_is_left_to_its_columns(tmp_path):
    without_weather = {name: value for name, value in ROW.items() if name != "weather"}

    async def scenario(api):
        await api.model()
        answer = await api.send([ROW, without_weather])
        return answer.json(), await api.counts()

    answer, counts = served(tmp_path, scenario)

    assert (answer["accepted"], answer["errors"]) == (2, [])
    assert [sum(vector) for _, vector in counts.values()] == [8]  # missing: its row has other inputs


def test_columns_without_the_declared_time_are_refused_row_by_row(tmp_path):
    async def scenario(api):
        await api.model(configuration={"columns": {"at": {"role": "time"}}})
        return await api.send({"columns": {"temp": [0.5, 0.6]}})

    answer = served(tmp_path, scenario).json()

    assert (answer["accepted"], answer["rejected"]) == (0, 2)
    assert [error["column"] for error in answer["errors"]] == ["at", "at"]
