"""Progress bars, on standard error, where somebody watches."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["progress_bar"]


@contextmanager
def progress_bar(total_bytes: int) -> Iterator[Callable[[str, int], None]]:
    """Show how far the reading has come; gone when done.

    Yields
    ------
    callable
        Takes the name of the stage and the bytes that it has read.
    """
    console = Console(stderr=True)
    columns = TextColumn("{task.description:<10}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        tasks: dict[str, int] = {}

        def advance(stage: str, done_bytes: int) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=total_bytes)
            progress.update(tasks[stage], completed=done_bytes)  # type: ignore[arg-type]

        yield advance
