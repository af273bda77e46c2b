"""The proof that a harm did no harm: the same rows again without it, and everything compared."""

import time
from dataclasses import dataclass, field

import aftermath
from traffic import ENOUGH_S, STREAMS, batch_of
from trial import Trial, make_reference

_EVENT_S_PER_S = 1_200  # four base windows a second
_REFUSED_SHARE = 0.15
_LONGEST_CLAIM_S = 150.0  # of a delivery whose process was killed, and what was to be sent behind it
_EVALUATED_S = 120.0


@dataclass(slots=True)
class Outcome:
    """What a trial came to."""

    figures: dict = field(default_factory=dict)
    faults: list = field(default_factory=list)
    counted_unanswered: int = 0  # batches without a key whose sender was never told

    def __str__(self):
        lines = [f"{name:>34}  {figure}" for name, figure in self.figures.items()]
        return "\n".join([*lines, *(["FAULTS:", aftermath.told(self.faults)] if self.faults else ["no faults"])])


def prove(
    folder,
    harm,
    *,
    seed,
    services=1,
    sidecars=0,
    quick=False,
    place=None,
    event_s_per_s=_EVENT_S_PER_S,
    late=("shuffled",),
    repeated=0.0,
):
    """Harm services under load, let all come to its end, and compare.

    Parameters
    ----------
    folder : Path
    harm : callable
        Does to a trial what it does, and says what that was.
    seed : int
    services : int
        Processes on the one store.
    sidecars : int
        Processes beside them that take the rows, and send counts to the first.
    quick : bool
        At the end, claims of processes that were killed are let run out at once.
    place : optional
        Of the store of the services that are harmed; by default a file, as that of the calm run always is.
    event_s_per_s : float
    late : sequence of str
        Models whose rows may come late.
    repeated : float
        Share of acknowledged batches that are sent again.
    """
    reference = make_reference(folder, seed)
    outcome = Outcome()
    with Trial(
        folder / "harmed",
        reference,
        seed=seed,
        services=services,
        sidecars=sidecars,
        refuses=_REFUSED_SHARE,
        event_s_per_s=event_s_per_s,
        place=place,
    ) as trial:
        trial.senders.repeated = repeated
        started_s = time.monotonic()
        harmed = harm(trial)
        outcome.figures["harm"] = f"{harmed}; {time.monotonic() - started_s:.0f} s"
        last_s = _finish(trial, quick=quick)
        held = aftermath.read(trial.place)
    sent, received = trial.senders.sent, trial.inbox.received
    calm = _calm(folder / "calm", reference, seed, sent, last_s)
    outcome.figures |= _figures(held, sent, received)
    bare = next(stream for stream in STREAMS if not stream.keyed)
    outcome.faults, outcome.counted_unanswered = aftermath.bare_faults(held, seed, bare, sent[bare.name], last_s)
    outcome.figures["unanswered batches without a key"] = (
        f"{len(sent[bare.name].unanswered)}, {outcome.counted_unanswered} of them counted"
    )
    outcome.faults += _faults(held, calm, seed, sent, received, last_s=last_s, late=late)
    outcome.faults += [line for service in trial.processes for line in _errors(service.log.read_text())]
    return outcome


def _finish(trial, *, quick):
    """Let everything come to its end; the time up to which rows count."""
    for process in trial.processes:
        process.kill()
    if quick:
        trial.let_time_pass()
    for process in trial.processes:
        process.start()
    for process in trial.processes:
        process.wait_ready(60)
    trial.senders.wait_past(ENOUGH_S, _EVALUATED_S)
    trial.senders.stop()
    last_s = trial.close_windows()
    trial.wait_evaluated(last_s, _EVALUATED_S)
    trial.inbox.refuses = 0.0
    trial.wait_delivered(_LONGEST_CLAIM_S)
    codes = [process.stop() for process in reversed(trial.processes)]  # sidecars before their centre
    assert codes == [0] * len(codes), f"exit codes {codes}"
    return last_s


def _calm(folder, reference, seed, sent, last_s):
    """What a store holds after the same rows without harm, sent one batch after the other in the order of their times."""
    numbers = {stream: sent[stream.name].acknowledged for stream in STREAMS if stream.keyed}
    batches = [batch_of(seed, stream, number) for stream, some in numbers.items() for number in some]
    batches.sort(key=lambda batch: (batch.start_s, batch.stream.number))
    with Trial(folder, reference, seed=seed) as trial:
        trial.services[0].start().wait_ready()
        trial.send_all(batches)
        trial.close_windows(last_s)
        trial.wait_evaluated(last_s, _EVALUATED_S, {stream.model for stream in numbers})
        trial.services[0].stop()
    return aftermath.read(trial.place)


def _faults(held, calm, seed, sent, received, *, last_s, late):
    return [
        *(f"{name}: {wrong}" for name, some in sent.items() for wrong in some.wrong),
        *aftermath.count_faults(held, seed, STREAMS, sent, last_s),
        *aftermath.evaluation_faults(held, late),
        *aftermath.notice_faults(held, received),
        *aftermath.difference(held, calm),
        *([] if received else ["nothing drifted, so nothing is proved of notices"]),
    ]


def _errors(log):
    return [line for line in log.splitlines() if "Traceback" in line or '"level": "error"' in line]


def _figures(held, sent, received):
    acknowledged = {stream.name: len(sent[stream.name].acknowledged) for stream in STREAMS}
    rows = sum(stream.rows * acknowledged[stream.name] for stream in STREAMS)
    failures = {}
    for some in sent.values():
        for reason, number in some.failures.items():
            failures[str(reason)] = failures.get(str(reason), 0) + number
    kept = held.models.values()
    return {
        "batches acknowledged": f"{sum(acknowledged.values()):,} ({rows:,} rows)",
        "attempts that failed": ", ".join(f"{reason} {number:,}" for reason, number in sorted(failures.items())),
        "answered as counted before": f"{sum(some.again for some in sent.values())}",
        "sent again though acknowledged": f"{sum(some.repeats for some in sent.values())}",
        "base windows": ", ".join(f"{name} {len(model.windows):,}" for name, model in held.models.items()),
        "evaluations": f"{sum(len(model.evaluations) for model in kept):,}",
        "evaluated again for late rows": f"{sum(row.revision > 1 for model in kept for row in model.evaluations):,}",
        "episodes": ", ".join(f"{name} {len(model.episodes):,}" for name, model in held.models.items()),
        "notices": f"{len({one.webhook_id for one in received}):,}, received {len(received):,} times, "
        f"of these refused {sum(not one.taken for one in received):,}",
    }
