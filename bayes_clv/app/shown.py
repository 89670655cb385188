"""What goes to the browser: texts that are shown as they stand, figures with their words, tables as files."""

import base64
import html
import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from bayes_clv.views.style import Drawing

HEADS = {
    "h1": "font-size:1.8rem;font-weight:700;margin:0",
    "h2": "font-size:1.3rem;font-weight:600;margin:0.5rem 0",
}


def paragraphs(lines: Iterable[str], kind: str = "p") -> str:
    """Return lines as HTML that shows them as they stand: anybody types ids and rules. Empty ones are left out."""
    style = f' style="{HEADS[kind]}"' if kind in HEADS else ""
    return "".join(f"<{kind}{style}>{html.escape(line)}</{kind}>" for line in lines if line.strip())


def label(text: str) -> str:
    """Return the label of a control, which marimo reads as Markdown, so that it shows a text as it stands."""
    return re.sub(r"([\\`*_{}\[\]()#+.!|~$:-])", r"\\\1", html.escape(text))


def unlisted(lines: Iterable[str]) -> list[str]:
    """Return the lines of a summary without those that list what stands in a table below."""
    return [line for line in lines if not line.startswith("  ")]


def picture(view: "Drawing", words: str) -> str:
    """Return a figure as HTML, laid out again for a telephone, with words for those who do not see it."""
    from bayes_clv.views.narrow import narrowed

    width = round(float(view.get_figwidth()) * 100)
    wide = _pixels(view)
    small = f'<source media="(max-width: 599px)" srcset="{_pixels(view)}">' if narrowed(view) else ""
    return (
        f'<picture>{small}<img src="{wide}" alt="{html.escape(words, quote=True)}" '
        f'style="width:{width}px;max-width:100%;height:auto"></picture>'
    )


def _pixels(view: "Drawing") -> str:
    buffer = io.BytesIO()
    view.savefig(buffer, format="png", dpi=150)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def csv_bytes(frame: "pd.DataFrame") -> bytes:
    """Return a table as the commands write it: a CSV that opens in spreadsheets, which run no cell of it."""
    import tempfile

    from bayes_clv.workflows.folders import write_table

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        write_table(frame, path)
        return path.read_bytes()
