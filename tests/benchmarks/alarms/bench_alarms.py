"""False alarms and detection of the calibrated alarm, beside the rules of other tools, on synthetic traffic.

The protocol: 28 days of hourly reference, 28 days of production without drift, and a stream for each of 11 drifts, for seeds 0 to
N - 1, all reported. (A) Every rule at its default: notices in 30 days without drift. (B) Equal false alarms: a rule with scores
is given the threshold that fires once in 720 of the very hours without drift that it is measured on, which nobody has in
practice; a rule without is taken as it is. Detected means that an hour fires within 24 hours of the onset. A rule that never
stops firing has one notice a replicate, so read notices beside the hours that fire. Exit 1 when the product's row, `ours`,
is below what it is held to. From the root of the repository::

    python tests/benchmarks/alarms/bench_alarms.py [--smoke] [--seeds 50] [--settings NAME ...] [--rules peers ours] [--jobs 2]
"""

import argparse
import importlib
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

from drifts import DRIFTS, TRIVIAL
from report import detection_by_drift, detection_overall, false_alarms, floors
from results import Replicate, SettingResult
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from scoring import MONTH_HOURS
from streams import SETTINGS, Setting, world_of

Task = tuple[str, int, tuple[str, ...]]

_SMOKE_SETTINGS = ("iid_200", "season_200")
_RULES = ("peers", "ours")
_SLEEPLESS = "KS/chi2 p <= .05"
_SLEEPLESS_SHARE = 0.3


def main() -> int:
    """Measure, print, and say whether the floors are met."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--smoke", action="store_true", help="one seed of two settings: checks that answers are sane")
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, metavar="NAME", help=f"of {', '.join(SETTINGS)}")
    parser.add_argument(
        "--rules", nargs="+", default=_RULES, metavar="MODULE", help="modules of this folder with `fit`"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--output", type=Path, help="write the tables there too")
    arguments = parser.parse_args()
    names = _SMOKE_SETTINGS if arguments.smoke else tuple(arguments.settings or SETTINGS)
    seeds, jobs = (1, 1) if arguments.smoke else (arguments.seeds, arguments.jobs)
    tasks = [(name, seed, tuple(arguments.rules)) for name, seed in product(names, range(seeds))]
    found: dict[str, list[Replicate]] = {name: [] for name in names}
    for replicate in _measured(tasks, jobs):
        found[replicate.setting].append(replicate)
    results = [
        SettingResult(setting=name, replicates=sorted(found[name], key=lambda replicate: replicate.seed))
        for name in names
    ]
    if arguments.smoke:
        return _sane(results)
    text, met = _told(results, seeds)
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n")
    return 0 if met else 1


def measure(task: Task) -> Replicate:
    """Draw the streams of one seed and let every rule judge them."""
    name, seed, modules = task
    setting = SETTINGS[name]
    world = world_of(setting, seed)
    scorers = [importlib.import_module(module).fit(world) for module in modules]
    drifted = {}
    for drift in DRIFTS:
        if _is_scored(setting, drift.name):
            one = world.drifted(drift)
            drifted[drift.name] = (one.onset, {k: v for scorer in scorers for k, v in scorer.score(one.stream).items()})
    production = world.production()
    verdicts = {row: said for scorer in scorers for row, said in scorer.score(production).items()}
    return Replicate(setting=name, seed=seed, production=verdicts, drifted=drifted)


def _is_scored(setting: Setting, drift: str) -> bool:
    return setting.trivial if drift == TRIVIAL else setting.detection


def _measured(tasks: Sequence[Task], jobs: int) -> Iterator[Replicate]:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("replicates", total=len(tasks))
        for replicate in map(measure, tasks) if jobs == 1 else _in_processes(tasks, jobs):
            progress.advance(bar)
            yield replicate


def _in_processes(tasks: Sequence[Task], jobs: int) -> Iterator[Replicate]:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the processes are the parallelism
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(measure, tasks)


def _told(results: Sequence[SettingResult], seeds: int) -> tuple[str, bool]:
    parts = [f"{seeds} replicates a setting, seeds 0 to {seeds - 1}."]
    averaged = [result for result in results if SETTINGS[result.setting].detection]
    for result in results:
        parts += [f"## {result.setting}", false_alarms(result)]
        if result in averaged:
            parts += [detection_by_drift(result, equal=equal) for equal in (True, False)]
    if averaged:
        parts += [
            "## Detection within 24 hours",
            *(detection_overall(averaged, equal=equal) for equal in (True, False)),
        ]
    said = floors(results, averaged)
    if said:
        parts += ["## Floors", "\n".join(f"- {what}: {'met' if met else 'NOT MET'}" for what, met in said)]
    return "\n\n".join(parts), all(met for _, met in said)


def _sane(results: Sequence[SettingResult]) -> int:
    """Check what is beyond doubt with one seed: one rule that never sleeps, and that the oracle keeps to its rate."""
    for result in results:
        print(false_alarms(result), detection_by_drift(result, equal=True), sep="\n\n", end="\n\n")
        sleepless = result.default.get(_SLEEPLESS)
        if sleepless and sleepless.false_alarms.count < _SLEEPLESS_SHARE * sleepless.hours:
            print(f"WRONG ANSWER: {_SLEEPLESS} sleeps in {result.setting}")
            return 1
        for name, row in result.equal.items():
            if row.threshold is not None and row.false_alarms.count > row.hours / MONTH_HOURS:
                print(
                    f"WRONG ANSWER: the oracle of {name} lets {row.false_alarms.count} hours fire in {result.setting}"
                )
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
