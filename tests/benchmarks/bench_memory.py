"""Peak memory of building a reference from Parquet that is larger than it, by the real command line.

Makes a folder of 50 columns (40 floats, 5 integers, 5 texts; row groups of up to 64 MB), runs `python -m service reference
build` on it, and reports the peak resident memory, which has to stay below 1 GB whatever the size, and the time. Exit 1
when the reference has not counted every row, or its KS bracket does not hold the exact statistic. From the root::

    python tests/benchmarks/bench_memory.py [--gigabytes 2] [--smoke] [--keep-in FOLDER]
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.stats import ks_2samp

from detectors.binning import Binner, ColumnValues
from detectors.catalog import statistics
from detectors.comparison import Comparer
from service.registry.reference_file import read_reference

PEAK_MAX_MIB = 1000 * 1000 * 1000 / 2**20
ROW_GROUP_BYTES = 60_000_000
FILE_BYTES = 256_000_000
ROW_BYTES = 324  # what a row takes in the files, measured
CHECKED = "f0"
CATEGORIES = (2, 8, 50, 1_000, 20_000)
LOOKS_EVERY_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a process took."""

    peak_mib: float
    cpu_s: float
    wall_s: float
    text: str


def main() -> int:
    """Generate, build, check, report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--smoke", action="store_true", help="a twentieth of a gigabyte")
    parser.add_argument("--keep-in", type=Path, help="folder for the data, kept; by default a temporary one, removed")
    arguments = parser.parse_args()
    gigabytes = 0.05 if arguments.smoke else arguments.gigabytes
    with tempfile.TemporaryDirectory(prefix="driftline-bench-") as temporary:
        folder = arguments.keep_in or Path(temporary)
        data, output = folder / "data", folder / "reference.json.gz"
        data.mkdir(parents=True)
        checked = _generate(data, int(gigabytes * 1e9))
        size = sum(file.stat().st_size for file in data.iterdir())
        command = [
            "-m",
            "service",
            "reference",
            "build",
            str(data),
            "--model",
            "m",
            "--version",
            "1",
            "-o",
            str(output),
        ]
        run = _watched([sys.executable, *command])
        _check_reference(output, checked)
    cells = checked.size * 50
    print(f"Parquet folder: {size / 1e9:.2f} GB, {checked.size:,} rows x 50 columns")
    print(
        f"reference build: {run.cpu_s:.1f} CPU s, {run.wall_s:.1f} s, {run.cpu_s / cells * 1e9:.0f} ns a cell (both passes)"
    )
    verdict = "met" if run.peak_mib <= PEAK_MAX_MIB else "ABOVE THE LIMIT"
    print(f"peak resident memory: {run.peak_mib:.0f} MiB, below 1 GB ({PEAK_MAX_MIB:.0f} MiB): {verdict}")
    return 0


def _generate(folder: Path, size_bytes: int) -> npt.NDArray[np.float64]:
    """Write files until there are enough bytes; return all values of one column."""
    rng = np.random.default_rng(0)
    names = [np.array([f"category {k}" for k in range(n)], dtype=object) for n in CATEGORIES]
    row_bytes = ROW_BYTES
    rows_left, group_rows = size_bytes // row_bytes, ROW_GROUP_BYTES // row_bytes
    groups_a_file = FILE_BYTES // ROW_GROUP_BYTES
    checked, number, writer = [], 0, None
    while rows_left > 0:
        table = _table(rng, min(rows_left, group_rows), names)
        rows_left -= table.num_rows
        checked.append(table.column(CHECKED).to_numpy())
        if number % groups_a_file == 0:
            if writer is not None:
                writer.close()
            # Numbers as they are: dictionaries of random floats would only be given up again.
            path = folder / f"part-{number // groups_a_file:03}.parquet"
            texts = [name for name in table.column_names if name.startswith("s")]
            writer = pq.ParquetWriter(path, table.schema, compression="zstd", compression_level=1, use_dictionary=texts)
        writer.write_table(table, row_group_size=table.num_rows)
        number += 1
    writer.close()
    return np.concatenate(checked)


def _table(rng: np.random.Generator, rows: int, names: list[npt.NDArray[np.object_]]) -> pa.Table:
    columns = {}
    for i in range(40):
        values = rng.standard_normal(rows)
        columns[f"f{i}"] = np.exp(values) if i % 4 == 3 else values
    for i in range(5):
        columns[f"i{i}"] = rng.integers(0, 10 ** (2 * i + 1), rows)
    for i, some in enumerate(names):
        codes = (rng.random(rows) ** 3 * some.size).astype(np.int32)  # a few frequent ones, many rare
        columns[f"s{i}"] = pa.DictionaryArray.from_arrays(codes, some).cast(pa.string())
    return pa.table(columns)


def _watched(command: list[str]) -> Run:
    """Run a process and follow its high-water mark; the mark that wait4 gives includes this process before exec."""
    start = time.perf_counter()
    peak_kib = 0
    with tempfile.TemporaryFile("w+") as printed:
        process = subprocess.Popen(command, stdout=printed, stderr=subprocess.STDOUT)
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
            peak_kib = max(peak_kib, int(found[1]) if found else 0)
            time.sleep(LOOKS_EVERY_S)
        process.returncode = os.waitstatus_to_exitcode(status)
        printed.seek(0)
        text = printed.read()
    if process.returncode:
        sys.exit(f"WRONG ANSWER: reference build ended with {process.returncode}\n{text[-2000:]}")
    cpu_s = usage.ru_utime + usage.ru_stime
    return Run(peak_mib=peak_kib / 1024, cpu_s=cpu_s, wall_s=time.perf_counter() - start, text=text)


def _check_reference(path: Path, checked: npt.NDArray[np.float64]) -> None:
    reference = read_reference(path)
    _check("rows", reference.rows == checked.size)
    _check("columns", len(reference.columns) == 50)
    index = next(i for i, column in enumerate(reference.columns) if column.name == CHECKED)
    rng = np.random.default_rng(1)
    for shift in (0.0, 0.02, 0.5):
        window = rng.standard_normal(10_000) + shift
        counts = Binner(reference.columns).count({CHECKED: ColumnValues(values=window)})
        numbers = statistics(Comparer(reference).compare(counts))
        true = ks_2samp(checked, window).statistic
        low, high = numbers["ks"][index], numbers["ks_upper"][index]
        _check(f"KS {true} in [{low}, {high}]", low - 1e-12 <= true <= high + 1e-12)
        print(f"shift {shift}: KS {true:.5f} in [{low:.5f}, {high:.5f}]")


def _check(name: str, right: object) -> None:
    if not right:
        sys.exit(f"WRONG ANSWER: {name}")


if __name__ == "__main__":
    sys.exit(main())
