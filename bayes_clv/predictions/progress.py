"""A bar for those who wait."""

from collections.abc import Iterator
from contextlib import contextmanager

from bayes_clv.predictions.tiles import Progress


@contextmanager
def progress_bar(shown: bool, what: str) -> Iterator[Progress | None]:
    """Give what is to be called with (done, of all) to show a bar on stderr, or None where nobody wants one."""
    if not shown:
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, size: bar.update(task, completed=done, total=size)
