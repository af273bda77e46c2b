"""Progress bars, on standard error, where somebody watches."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["progress_bar"]


@contextmanager
def progress_bar(total: int, unit: str = "bytes") -> Iterator[Callable[[str, int], None]]:
    """Show how far the reading, or something else, has come; gone when done.

    Parameters
    ----------
    total : int
    unit : str

    Yields
    ------
    callable
        Takes the name of the stage and how much it has done.
    """
    console = Console(stderr=True)
    done_of_all = DownloadColumn() if unit == "bytes" else MofNCompleteColumn()
    columns = TextColumn("{task.description:<10}"), BarColumn(), done_of_all, TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        tasks: dict[str, int] = {}

        def advance(stage: str, done: int) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=total)
            progress.update(tasks[stage], completed=done)  # type: ignore[arg-type]

        yield advance
