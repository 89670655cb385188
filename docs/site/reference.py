"""The reference: a page a namespace, made from ``__all__`` before each build, so that no name is forgotten."""

import importlib
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# In the order of the pipeline; what stands at ``clv.`` comes first and is told once, there.
NAMESPACES = (
    "customers",
    "families",
    "inference",
    "predictions",
    "predictions.expected",
    "predictions.synthetic",
    "scoring",
    "segments",
    "targeting",
    "valuation",
    "perceived",
    "views",
)


def write(app: Any) -> None:
    """Write the pages into docs/site/reference, which git ignores."""
    folder = Path(app.confdir) / "reference"
    folder.mkdir(exist_ok=True)
    top = importlib.import_module("bayes_clv")
    first = [name for name in top.__all__ if not isinstance(getattr(top, name), types.ModuleType)]
    told = {id(getattr(top, name)) for name in first}
    pages = {"clv": _page("clv", "bayes_clv", first)}
    for namespace in NAMESPACES:
        module = importlib.import_module(f"bayes_clv.{namespace}")
        names = [
            name
            for name in getattr(module, "__all__", None) or _own(module)
            if not isinstance(getattr(module, name), types.ModuleType)
            and id(getattr(module, name)) not in told
        ]
        short = namespace.removeprefix("predictions.")
        pages[short] = _page(f"clv.{short}", f"bayes_clv.{namespace}", names)
    for name, text in pages.items():
        path = folder / f"{name}.rst"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def _own(module: types.ModuleType) -> list[str]:
    return sorted(
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    )


def _page(title: str, module: str, names: list[str]) -> str:
    lines = [title, "=" * len(title), "", f".. automodule:: {module}", "   :no-members:", ""]
    for name in names:
        value = getattr(importlib.import_module(module), name)
        if isinstance(value, Mapping):
            # A mapping's docstring is that of dict.
            keys = ", ".join(f"``{key}``" for key in value)
            lines += [f".. py:data:: {module}.{name}", "", f"   A mapping. Its keys: {keys}.", ""]
        else:
            kind = "class" if isinstance(value, type) else "function" if callable(value) else "data"
            lines += [f".. auto{kind}:: {module}.{name}", ""]
    return "\n".join(lines)


def setup(app: Any) -> dict[str, bool]:
    """Write the pages before Sphinx looks for them."""
    app.connect("config-inited", lambda app, _: write(app))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
