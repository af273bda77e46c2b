"""One build: what is asked of the process that does it, and how that is run."""

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from service.calibration.settings import settings_of
from service.errors import InputError
from service.references.worker import BuildOrder
from service.registry.models import LiveModel
from service.windows.times import format_instant

__all__ = ["UploadOptions", "order_of", "run_worker"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadOptions:
    """What a sender of training data says of it."""

    time_column: str | None = None
    outputs: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    since: str | None = None
    until: str | None = None
    name: str = "upload"
    activate: bool | None = None
    """None: if the version has no active reference by then."""


def order_of(model: LiveModel, version: str, path: Path, output: Path, options: UploadOptions) -> BuildOrder:
    """What is to be built of an upload, by the configuration of its model."""
    configuration = model.configuration
    return BuildOrder(
        data=str(path),
        name=options.name,
        output=str(output),
        model=model.model,
        version=version,
        created_at=_now_text(path),
        time_zone=configuration.time_zone,
        window=configuration.base_window,
        columns={name: {"role": c.role, "kind": c.kind} for name, c in configuration.columns.items()},
        time_column=options.time_column,
        outputs=options.outputs,
        ignore=options.ignore,
        since=options.since,
        until=options.until,
        calibration=settings_of(configuration),
        budget_per_30d=configuration.policy.false_alarms_per_30d,
    )


async def run_worker(order: BuildOrder, on_progress: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """Build in a process of its own; its last answer, `ready` or `failed`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "service.references.worker",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=1 << 26,  # findings of 10,000 columns are one line
    )
    assert process.stdin is not None  # noqa: S101 - it was asked for
    assert process.stdout is not None  # noqa: S101
    try:
        process.stdin.write(msgspec.json.encode(order))
        process.stdin.close()
        told, stage = asyncio.get_running_loop().time(), ""
        async for line in process.stdout:
            document: dict[str, Any] = msgspec.json.decode(line)
            if "stage" not in document:
                await process.wait()
                return document
            now = asyncio.get_running_loop().time()
            if document["stage"] != stage or now - told > 0.5:  # noqa: PLR2004 - people cannot read faster
                told, stage = now, document["stage"]
                await on_progress(document)
        raise InputError("the build ended without a result: out of memory, or killed")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _now_text(path: Path) -> str:
    """When the upload was complete: to the second, as reference files say it."""
    return format_instant(int(path.stat().st_mtime) * 1_000_000)
