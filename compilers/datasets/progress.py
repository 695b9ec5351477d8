"""A progress bar on stderr for `datasets.write`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from trine.compilers.datasets import Progress


@contextmanager
def bars() -> Iterator[Progress]:
    """A `Progress` that draws one bar for each thing being done; silent where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=console, disable=not console.is_terminal) as drawn:
        tasks = {}

        def show(what: str, done: int, whole: int) -> None:
            if what not in tasks:
                tasks[what] = drawn.add_task(what, total=whole)
            drawn.update(tasks[what], completed=done, total=whole)

        yield show
