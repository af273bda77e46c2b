"""What a store holds after a trial, against what was acknowledged and what the receiver got. Each check returns its faults."""

import asyncio
import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from traffic import BATCHES_TOLD, PANE_S, US_PER_S, WINDOW_S, WINDOW_US, batch_of

from detectors.binning import ColumnValues
from service.registry.models import Registry
from service.storage.codec import summed

_EVER_US = 2**62
_MANY = 10**7
_PANE_US = PANE_S * US_PER_S
_FAULTS_MAX = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What a store keeps of one model."""

    binner: object
    panes: tuple
    windows: dict  # rows by start of the base window, as the store sums them up
    evaluations: tuple
    decisions: tuple
    episodes: tuple


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a store keeps: models, and deliveries."""

    models: dict
    deliveries: tuple


def read(place):
    """Read everything, through the store."""
    return asyncio.run(_read(place))


async def _read(place):
    store = await place.opening()
    try:
        registry = Registry(store)
        await registry.refresh()
        models = {}
        for name, live in registry.models.items():
            version = live.versions["1"]
            series = version.series(version.active.id)
            evaluations = await store.evaluations(name, "1", size=None, first_us=None, last_us=None, limit=_MANY)
            decisions = await store.decisions(name, "1", -_EVER_US, _EVER_US)
            models[name] = Kept(
                binner=version.active.binner,
                panes=tuple(await store.panes(series, -_EVER_US, _EVER_US)),
                windows=dict(await store.rows_by_window(series, -_EVER_US, _EVER_US)),
                evaluations=tuple(sorted(evaluations, key=lambda row: (row.size, row.end_us))),
                decisions=tuple(json.loads(document) for _, document in decisions),
                episodes=tuple(
                    sorted(await store.episodes(model=name, open_only=False, limit=_MANY), key=lambda row: row.id)
                ),
            )
        deliveries = tuple(await store.deliveries(state=None, target=None, limit=_MANY))
        return Held(models=models, deliveries=deliveries)
    finally:
        await store.close()


# --- counts -------------------------------------------------------------------------------------------------------------


def counted(binner, batches, span_us):
    """Counts of batches by span, binned here and now; {start of the span: (rows, counts)}."""
    times_us = np.concatenate([batch.times_us for batch in batches])
    names = list(batches[0].columns)
    columns = {name: [cell for batch in batches for cell in batch.columns[name]] for name in names}
    starts = times_us - times_us % span_us
    order = np.argsort(starts, kind="stable")
    bounds = np.flatnonzero(np.diff(starts[order], prepend=-1))
    arrays = {name: np.fromiter(cells, dtype=object, count=len(cells)) for name, cells in columns.items()}
    found = {}
    for part in np.split(order, bounds[1:]):
        values = {name: ColumnValues(values=array[part]) for name, array in arrays.items()}
        found[int(starts[part[0]])] = len(part), binner.count(values, len(part))
    return found


def stored(kept, span_us):
    """Counts in the store by span; {start of the span: (rows, counts)}."""
    spans = defaultdict(list)
    for pane in kept.panes:
        spans[pane.start_us - pane.start_us % span_us].append(pane)
    n_bins = kept.binner.layout.n_bins_total
    return {
        start: (sum(pane.rows for pane in panes), summed([one for pane in panes for one in pane.payloads], n_bins))
        for start, panes in spans.items()
    }


def count_faults(held, seed, streams, sent, last_s):
    """Rows of a model that the store does not have once each; those sent with keys."""
    faults = []
    for name, kept in held.models.items():
        some = [stream for stream in streams if stream.model == name and stream.keyed]
        if not some:
            continue
        wanted = {}
        for stream in some:
            batches = [batch_of(seed, stream, number) for number in sent[stream.name].acknowledged]
            _add(wanted, counted(kept.binner, batches, WINDOW_US))
        found = _without_last(stored(kept, WINDOW_US), last_s)
        for start in sorted(wanted.keys() | found.keys()):
            rows, counts = wanted.get(start, (0, 0))
            got_rows, got = found.get(start, (0, 0))
            if rows != got_rows or not np.array_equal(counts, got):
                faults.append(f"{name}: window {start}: {got_rows} rows in the store, {rows} acknowledged")
    return faults


def _add(total, more):
    for start, (rows, counts) in more.items():
        before, vector = total.get(start, (0, 0))
        total[start] = before + rows, vector + counts


def _without_last(spans, last_s):
    """Without the one row that closed the windows."""
    return {start: some for start, some in spans.items() if start < last_s // WINDOW_S * WINDOW_US}


def bare_faults(held, seed, stream, sent, last_s):
    """Batches without keys: an acknowledged one is there once, an unanswered one once or not at all, and never in part."""
    kept = held.models[stream.model]
    binner = kept.binner
    place = [column.name for column in binner.columns].index("batch")
    labels = np.array([f"b{number}" for number in range(BATCHES_TOLD)], dtype=object)
    bins = (binner.layout.offsets[place] + binner.bins(place, ColumnValues(values=labels))).tolist()
    found = {
        (start, label): int(counts[position])
        for start, (_, counts) in _without_last(stored(kept, _PANE_US), last_s).items()
        for position, label in zip(bins, labels, strict=True)
        if counts[position]
    }
    faults = []
    for number in sent.acknowledged:
        batch = batch_of(seed, stream, number)
        if found.pop(_cell(batch), 0) != stream.rows:
            faults.append(f"{stream.name} {number}: acknowledged, and not there once")
    counted_unanswered = 0
    for number in sent.unanswered:
        rows = found.pop(_cell(batch_of(seed, stream, number)), 0)
        counted_unanswered += rows > 0
        if rows not in {0, stream.rows}:
            faults.append(f"{stream.name} {number}: unanswered, and {rows} of {stream.rows} rows are there")
    return faults + [f"{stream.name}: rows that nobody sent, in {len(found)} places"] * bool(found), counted_unanswered


def _cell(batch):
    start_us = int(batch.times_us[0])
    return start_us - start_us % _PANE_US, f"b{batch.number % BATCHES_TOLD}"


# --- evaluations, decisions, episodes -----------------------------------------------------------------------------------


def evaluation_faults(held, late_models=("shuffled",)):
    """Windows that were not evaluated once, with what is in the store."""
    faults = []
    for name, kept in held.models.items():
        base = [row for row in kept.evaluations if row.size == "5m" and row.rows]
        starts = Counter(row.start_us for row in base)
        until_us = max((row.end_us for row in base), default=0)
        due = {start for start in kept.windows if start < until_us}
        faults += [f"{name}: window {start} evaluated {n} times" for start, n in starts.items() if n > 1]
        faults += [f"{name}: window {start} never evaluated" for start in sorted(due - starts.keys())]
        faults += [
            f"{name}: evaluation of {row.start_us} rests on {row.rows} rows, {kept.windows.get(row.start_us, 0)} are there"
            for row in base
            if row.rows != kept.windows.get(row.start_us, 0)
        ]
        if name not in late_models:
            faults += [
                f"{name}: {row.start_us} has revision {row.revision}" for row in kept.evaluations if row.revision > 1
            ]
        faults += _decision_faults(name, kept)
    return faults


def _decision_faults(name, kept):
    """Base windows lie in one first decision each, in their order; between two there was silence, and that was recorded."""
    spans = [(one["window"]["start"], one["window"]["end"]) for one in kept.decisions if not one["correction"]]
    windows = (json.loads(row.document)["window"] for row in kept.evaluations if not row.rows)
    silences = {(window["start"], window["end"]) for window in windows}
    return [
        f"{name}: a decision ends at {end}, the next one begins at {start}"
        for (_, end), (start, _) in pairwise(spans)
        if end != start and (end, start) not in silences
    ]


def difference(held, calm):
    """What differs between a trial and a calm run over the same rows, beyond the times at which things were done."""
    faults = []
    for name in held.models:
        ours, theirs = held.models[name], calm.models[name]
        if name == "bare":
            continue  # nobody can send its rows again
        late = name == "shuffled"
        some = (("evaluations", _evaluations), ("decisions", _decisions), ("episodes", _episodes))
        for what, made in some[:1] if late else some:  # which rows came late was up to chance
            mine, other = made(ours, late=late), made(theirs, late=late)
            keys = mine.keys() & other.keys() if late else mine.keys() | other.keys()
            faults += [
                f"{name}: {what}: {key}: {_first_difference(mine.get(key), other.get(key))}"
                for key in sorted(keys)
                if mine.get(key) != other.get(key)
            ]
    return faults


def _evaluations(kept, *, late):
    untold = {"evaluated_at", "revision", "late_rows"} if late else {"evaluated_at"}
    return {
        (row.size, row.start_us): {k: v for k, v in json.loads(row.document).items() if k not in untold}
        for row in kept.evaluations
    }


def _decisions(kept, **_):
    return {(one["window"]["start"], one["correction"]): _without_times(one) for one in kept.decisions}


def _episodes(kept, **_):
    return {row.id: _without_times(json.loads(row.document)) | {"open": row.open} for row in kept.episodes}


def _without_times(value):
    """A document without the times at which things were done."""
    if isinstance(value, dict):
        gone = {"at", "decided_at", "recorded_at", "resolved_at"}
        return {key: _without_times(inner) for key, inner in value.items() if key not in gone}
    return [_without_times(inner) for inner in value] if isinstance(value, list) else value


def _first_difference(mine, other, at=""):
    if isinstance(mine, dict) and isinstance(other, dict):
        for key in mine.keys() | other.keys():
            if mine.get(key) != other.get(key):
                return _first_difference(mine.get(key), other.get(key), f"{at}.{key}")
    return f"{at}: {str(mine)[:200]} | {str(other)[:200]}"


# --- notices ------------------------------------------------------------------------------------------------------------


def notice_faults(held, received):
    """Notices that were lost, changed, decided twice, or came before an earlier one."""
    decided = [
        (target, notice["id"], one["episode_id"] or (one["resolved"] or [{}])[0].get("episode_id"), notice)
        for kept in held.models.values()
        for one in kept.decisions
        for notice in one["notices"]
        for target in notice["targets"]
    ]
    taken = [one for one in received if one.taken]
    got = {(one.target, one.webhook_id) for one in taken}
    wanted = {(target, notice_id) for target, notice_id, _, _ in decided}
    faults = [f"decided and not received: {target} {notice_id}" for target, notice_id in sorted(wanted - got)]
    faults += [f"received and not decided: {target} {notice_id}" for target, notice_id in sorted(got - wanted)]
    faults += [f"decided twice: {key}" for key, n in Counter((t, i) for t, i, _, _ in decided).items() if n > 1]
    faults += [f"{one.id} is {one.state}: {one.last}" for one in held.deliveries if one.state != "delivered"]
    bodies = defaultdict(set)
    for one in received:
        bodies[one.webhook_id].add(one.body)
    faults += [f"{notice_id} came with {len(some)} contents" for notice_id, some in bodies.items() if len(some) > 1]
    notices = {notice_id: json.loads(next(iter(some))) for notice_id, some in bodies.items()}
    kinds = Counter((notice["episode_id"], notice["kind"]) for notice in notices.values())
    faults += [f"{n} notices {kind} of {episode}" for (episode, kind), n in kinds.items() if n > 1]
    first = dict.fromkeys((one.target, one.webhook_id) for one in taken)
    last = defaultdict(int)
    for target, notice_id in first:
        notice = notices[notice_id]
        place = target, notice["episode_id"]
        if notice["sequence"] <= last[place]:
            faults.append(f"{target}: number {notice['sequence']} after {last[place]} of {place[1]}")
        last[place] = notice["sequence"]
    return faults


def told(faults):
    """The first faults of each kind, for people."""
    by_place = defaultdict(list)
    for fault in faults:
        by_place[fault.split()[0]].append(fault)
    lines = []
    for place, some in by_place.items():
        more = len(some) - _FAULTS_MAX
        lines += [*some[:_FAULTS_MAX], *([f"... and {more} more of {place}"] if more > 0 else [])]
    return "\n".join(lines)
