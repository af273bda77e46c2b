"""Random changes to counts that sidecars send: what is not taken raises `DecodeError`, and what is taken can be added up.

As `fuzz_decoders.py`, from the root::

    PYTHONPATH=.:tests python tests/fuzz/fuzz_counts.py [--rounds 20000] [--seed 0] [--first 0]

Exit 1 with the seed and number of the first round in which anything else happened.
"""

# ruff: noqa: T201 - it prints what it found

import argparse
import faulthandler
import random
import sys
import time
import traceback

import numpy as np
from fuzz_decoders import changed
from making import reference_of

from detectors.binning import ColumnValues
from detectors.learning import Sketch, merged
from service.domain.configuration import ModelConfiguration
from service.errors import DecodeError
from service.ingest.sent import AnotherClockError, commit_of
from service.ports import LEARNING, LEARNING_PANE_US, Commit, Delta, Mark, Tally, Turn
from service.registry.models import LiveModel, LiveReference, LiveVersion, Since
from service.storage import codec
from service.storage.wire import decode_counts, encode_counts

NOW_US = 1_772_452_800_000_000
HOUR_US = 3_600_000_000
ANSWER = b'{"accepted":3,"rejected":0,"late":0,"duplicate":false,"errors":[]}'


def main():
    """Run the rounds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first round")
    arguments = parser.parse_args()
    faulthandler.enable()
    model, bodies, taken = model_of(), list(bodies_of(model_of())), 0
    start = time.perf_counter()
    for number in range(arguments.first, arguments.first + arguments.rounds):
        rng = random.Random(f"{arguments.seed} {number}")  # noqa: S311 - wanted: the same again
        body = changed(rng.choice(bodies), rng.choice(bodies), rng)
        try:
            taken += survives(model, body)
        except Exception:  # noqa: BLE001 - whatever it is, it is what we look for
            print(f"seed {arguments.seed}, round {number}, {len(body)} bytes: {body[:300]!r}")
            traceback.print_exc()
            return 1
    seconds = time.perf_counter() - start
    print(f"{arguments.rounds:,} rounds, {arguments.rounds / seconds:,.0f} rounds/s, {taken:,} taken")
    return 0


def survives(model, body):
    """Whether a body is taken, and adds up; False if it is refused."""
    try:
        commit = commit_of(model, decode_counts(body), NOW_US)
    except DecodeError as error:
        assert error.status in {400, 422}  # noqa: PT017 - which bytes are refused is not known
        return False
    except AnotherClockError:
        return False
    for delta in commit.deltas:
        assert 0 <= delta.late <= delta.rows
        if delta.reference_id == LEARNING:
            merged([Sketch.from_bytes(codec.unwrap_sketch(delta.payload))] * 2)
        else:
            layout = model.versions[delta.version].active.binner.layout
            total = codec.summed([delta.payload] * 2, layout.n_bins_total)
            assert (np.add.reduceat(total, layout.starts) <= 2 * delta.rows).all()
            assert (total >= 0).all()
    return True


def model_of():
    """A model with a version that counts and one that learns."""
    rng = np.random.default_rng(0)
    words = np.array(["a", "b", "c"], dtype=object)[rng.integers(0, 3, 300)]
    reference = LiveReference(id="sha256:r", reference=reference_of({"x": rng.standard_normal(300), "c": words}))
    versions = {
        "1": LiveVersion(model="m", version="1", since=(Since(from_us=None, reference=reference),)),
        "2": LiveVersion(model="m", version="2", since=()),
    }
    return LiveModel(model="m", epoch=3, owner="api", configuration=ModelConfiguration(), versions=versions)


def bodies_of(model):
    """Bodies that are taken."""
    binner = model.versions["1"].active.binner
    rng = np.random.default_rng(1)
    for rows in (1, 3, 2_000):
        columns = {"x": ColumnValues(values=rng.standard_normal(rows))}
        counts = np.asarray(binner.count(columns))
        counted = Delta(
            version="1",
            reference_id="sha256:r",
            pane_start_us=NOW_US - HOUR_US,
            window_start_us=0,
            rows=rows,
            late=0,
            payload=codec.encode_dense(counts),
        )
        pane_us = LEARNING_PANE_US + NOW_US // HOUR_US
        learned = Delta(
            version="2",
            reference_id=LEARNING,
            pane_start_us=pane_us,
            window_start_us=pane_us,
            rows=rows,
            late=0,
            payload=codec.wrap_sketch(Sketch.of(columns, rows, {}).to_bytes()),
        )
        commit = Commit(
            model="m",
            epoch=3,
            deltas=[counted, learned],
            marks=[Mark(key="/k#0", digest=b"digest", answer=ANSWER)],
            newest_us={"1": NOW_US - HOUR_US, "2": NOW_US},
            tally=Tally(accepted=2 * rows, late=1, rejected={"future": 2}, ignored_cells=7),
        )
        yield encode_counts(commit, Turn(sender="s.once", number=1))


if __name__ == "__main__":
    sys.exit(main())
