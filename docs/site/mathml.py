"""Formulas of the pages as MathML, which browsers read by themselves: no script, no fonts from elsewhere."""

import re
from typing import Any

from latex2mathml.converter import convert


def visit_math(writer: Any, node: Any) -> None:
    """Write a formula in a line."""
    from docutils import nodes

    writer.body.append(convert(node.astext()))
    raise nodes.SkipNode


def visit_display(writer: Any, node: Any) -> None:
    """Write a formula in a line of its own, which scrolls by itself where it is too long."""
    from docutils import nodes

    lines = [line for line in re.split(r"\n\s*\n", node.astext()) if line.strip()]
    formulas = "".join(convert(line, display="block") for line in lines)
    writer.body.append(
        f'<div class="formula" tabindex="0" style="overflow-x: auto; margin: 1em 0">{formulas}</div>'
    )
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    """Register the writer with Sphinx."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_display, None))
    app.config.html_math_renderer = "mathml"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
