"""The story of the demo: two models, one year of traffic, one fault, and who is told of it."""

import queue
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

import httpx
import yaml
from rich.console import Console

from service.cli.months import print_months
from service.cli.options import output_console, shown
from service.cli.sending import Chunk, Sender
from service.cli.weekly import THUMBS, Weekly
from service.demo.process import RunningService, ServiceFailedError, free_port, interruptible, running_service
from service.demo.receiver import Receiver, Webhook, receiver
from service.demo.weeks import BROKEN_FROM, COLUMN_BROKEN, TRAINED_YEAR, Week, columns_declared, training_csv, weeks

__all__ = ["tell_story"]

SOUND, BROKEN = "bikes", "bikes-faulty"
_NOTICES: Final = 2
_PACE_S: Final = 0.2  # of weeks: people should be able to read along
_LATE_S: Final = 30.0
_POLL_S: Final = 0.2
_SECRET: Final = "DEMO_WEBHOOK_SECRET"  # noqa: S105 - the name of a variable
_ID_SHOWN: Final = 19


def tell_story(*, keep: bool, port: int | None) -> None:
    """Run the demo; with `keep`, until somebody ends it."""
    console = output_console()
    console.print(
        "[bold]A model of bike rentals, trained on 2011, in production in 2012. Real data, a real service, one injected "
        "fault.[/]\n"
    )
    with ExitStack() as stack:
        stack.enter_context(interruptible())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="driftline-demo-")))
        hook = stack.enter_context(receiver())
        config = folder / "driftline.yaml"
        config.write_text(yaml.safe_dump(_configuration(folder, hook), sort_keys=False), encoding="utf-8")
        began_s = time.monotonic()
        log = folder / "driftline.log"
        service = stack.enter_context(running_service(config, port or free_port(), log, {_SECRET: hook.secret}))
        console.print(
            f"service      {service.url}, up in {time.monotonic() - began_s:.1f} s; its files are in {folder}"
        )
        client = stack.enter_context(httpx.Client(base_url=service.url, trust_env=False, timeout=60.0))
        _train(client, console)
        console.print(f"receiver     {hook.url} plays the CI system, and believes what is signed\n")
        _tell_of_the_fault(console)
        weekly = _replay(client, hook, console)
        weekly.print_totals()
        _explain(console)
        print_months(console)
        _print_next(client, service, console, keep=keep)
        if keep:
            _stay(service, console)


def _configuration(folder: Path, hook: Receiver) -> dict[str, Any]:
    declared = columns_declared()
    columns: dict[str, Any] = dict(declared["columns"])  # type: ignore[call-overload]  # a mapping in the file
    watched = {
        "time_zone": declared["time_zone"],
        "base_window": "7d",
        "scales": [1],
        "policy": {"rules": list(THUMBS)},  # they have no say, and are only compared with
    }
    # Weeks of a year are too few to call a calibration verified, and then a trigger is a dry run unless it says otherwise.
    trigger = {"target": "ci", "windows_min": 2, "dry_run": False}
    return {
        "store": {"path": str(folder / "driftline.db")},
        "targets": {"ci": {"url": hook.url, "secrets": [{"env": _SECRET}], "allow_private": True}},
        "models": {
            SOUND: {**watched, "columns": columns},
            BROKEN: {**watched, "columns": columns, "notify": ["ci"], "triggers": [trigger]},
        },
    }


def _train(client: httpx.Client, console: Console) -> None:
    """Upload the training year for each model, and make what comes of it the active reference."""
    data = training_csv()
    for model in (SOUND, BROKEN):
        began_s = time.monotonic()
        references = f"/v1/models/{model}/references"
        with console.status(f"{model}: building the reference"):
            answer = client.post(
                references,
                content=data,
                params={"version": TRAINED_YEAR, "activate": "false"},
                headers={"content-type": "text/csv"},
            )
            made = _answered(answer)
            _answered(client.post(f"{references}/{made['id']}/activate"))
        found = made["summary"]
        console.print(
            f"reference    {model} {TRAINED_YEAR}: {found['rows']:,} rows uploaded, {found['columns']} columns, "
            f"{found['windows']} weeks; active after {time.monotonic() - began_s:.1f} s "
            f"({found['reference_id'][:_ID_SHOWN]}...)"
        )


def _answered(answer: httpx.Response) -> dict[str, Any]:
    if not answer.is_success:
        raise ServiceFailedError(f"the service answers {answer.status_code}: {answer.text}")
    document: dict[str, Any] = answer.json()
    return document


def _tell_of_the_fault(console: Console) -> None:
    console.print(
        f"Both models are sent the rows of 2012 in event time, a week a request. [bold]Injected by this demo:[/] in "
        f"{BROKEN}, the {COLUMN_BROKEN} sensor reports 0 from {BROKEN_FROM} on, as the real one did for 22 hours on 10 "
        "March 2011. Both have the default policy: one false alarm in 30 days. Drift of the second goes to `ci`, and two weeks "
        "of it in a row start a retraining.\n\n"
        "Numbers are effects: how far a week is from 2011, as PSI, beyond what its weeks differ by; 0 is a week like any other.\n"
    )


def _replay(client: httpx.Client, hook: Receiver, console: Console) -> Weekly:
    inbox = _Inbox(hook, console)
    weekly = Weekly(
        client=client, console=console, sound=SOUND, broken=BROKEN, column=COLUMN_BROKEN, on_week=inbox.print_until
    )
    senders = {model: Sender(client, model, TRAINED_YEAR) for model in (SOUND, BROKEN)}
    replayed = list(weeks())
    weekly.print_header()
    with console.status("") as status:
        for week in replayed:
            status.update(f"replaying the week of {week.monday}; {weekly.closed} weeks evaluated")
            _send(senders, week)
            time.sleep(_PACE_S)
            weekly.grow()
        deadline_s = time.monotonic() + _LATE_S
        # The last week goes on: no row has come from beyond its end.
        while weekly.closed < len(replayed) - 1 or inbox.verified < _NOTICES:
            if time.monotonic() > deadline_s:
                raise ServiceFailedError(
                    f"in time, {weekly.closed} of {len(replayed) - 1} weeks were evaluated, and {inbox.verified} of "
                    f"{_NOTICES} notices received"
                )
            status.update(f"all rows are sent; {weekly.closed} weeks evaluated")
            time.sleep(_POLL_S)
            weekly.grow()
            inbox.print_until(str(replayed[-1].monday))
    console.print()
    return weekly


def _send(senders: dict[str, Sender], week: Week) -> None:
    for model, body in ((SOUND, week.sound), (BROKEN, week.broken)):
        chunk = Chunk(key=f"demo-{week.monday}", content_type="text/csv", body=body, rows=week.rows)
        reply = senders[model].send(chunk)
        if reply.accepted != week.rows or reply.late:
            raise ServiceFailedError(
                f"week of {week.monday}: {reply.accepted} of {week.rows} rows taken, {reply.late} of them late"
            )


class _Inbox:
    """What the receiver has received, each printed behind the line of its week."""

    def __init__(self, hook: Receiver, console: Console) -> None:
        self._hook = hook
        self._console = console
        self._waiting: list[Webhook] = []
        self.verified = 0

    def print_until(self, week_start: str) -> None:
        """Print what is about weeks that began by then."""
        with suppress(queue.Empty):
            while True:
                self._waiting.append(self._hook.webhooks.get_nowait())
        for webhook in [webhook for webhook in self._waiting if _week_of(webhook) <= week_start]:
            self._waiting.remove(webhook)
            self.verified += webhook.verified
            self._print(webhook)

    def _print(self, webhook: Webhook) -> None:
        notice = webhook.notice
        columns = ", ".join(shown(column["name"]) for column in notice["columns"])
        signature = "[green]signature verified[/]" if webhook.verified else "[red]SIGNATURE WRONG[/]"
        self._console.print(
            f"  [bold]webhook received[/]  kind {shown(notice['kind'])}, model {shown(notice['model'])}, week of "
            f"{_week_of(webhook)[:10]}, drifted: {columns}, {signature}"
        )


def _week_of(webhook: Webhook) -> str:
    return str((webhook.notice["window"] or {}).get("start") or "")


def _explain(console: Console) -> None:
    console.print(
        "\n[bold]How to read this.[/] A week is seven days of one season; 2011 is a whole year. So by the numbers alone nearly "
        "every week differs from the reference, which is what the rules of thumb say week after week. The calibrated alarm has "
        "learned from the weeks of 2011 how much weeks differ when all is well, in each direction: weather is silence, a sensor "
        "that reports 0 is not. What it cannot tell from weather in this one year of weeks, it is silent about, too. Its status "
        "is `calibrated`, not `verified`: 53 weeks are fewer than the 60 it asks for. The week of 29 October has 36 hours less "
        "(hurricane Sandy) and is judged on the rows it has; of the first week only one day is in 2012: too few rows for a "
        "verdict. The last one, of 31 December, is still open.\n"
        f"An alarm of {SOUND} is one that a person would have to look at: nothing was injected there, and nothing here was "
        "tuned to this file.\n"
        f"{BROKEN} opened an episode in the first full week of the fault (the week before holds two broken days), and the next "
        "one sent the retrain notice. (What a broken sensor needs is repair: whatever receives `retrain` should look at the "
        "data first.)"
    )


def _print_next(client: httpx.Client, service: RunningService, console: Console, *, keep: bool) -> None:
    wanted = f'driftline_drift_effect{{model="{BROKEN}"', f'column="{COLUMN_BROKEN}"'
    lines = [line for line in client.get("/metrics").text.splitlines() if all(part in line for part in wanted)]
    console.print("\n[bold]Next[/]")
    if keep:
        console.print(f"open    {service.url}/   {service.url}/metrics   {service.url}/docs")
    else:
        console.print(
            "open    `driftline demo --keep --port 8080` leaves the service running, with /, /metrics and /docs"
        )
    url = service.url if keep else "http://127.0.0.1:8080"
    console.print(
        f"ask     curl -s {url}/metrics | grep 'driftline_drift_effect.*{BROKEN}.*{COLUMN_BROKEN}'", soft_wrap=True
    )
    for line in lines:
        console.print(f"        {shown(line)}", soft_wrap=True)


def _program() -> str:
    """How this program was called, where that is more than its name."""
    called = sys.argv[0]
    own = Path(called).name == "driftline" and shutil.which("driftline") != str(Path(called).absolute())
    return called if own else "driftline"


def _stay(service: RunningService, console: Console) -> None:
    console.print("\nThe service goes on until Ctrl-C.")
    try:
        while not service.ended():
            time.sleep(_POLL_S)
    except KeyboardInterrupt:
        console.print("stopped")
    else:
        raise ServiceFailedError("the service has ended by itself")
