"""The one place where names that collide with ArviZ's plot arguments are changed.

ArviZ 1 takes ``alpha``, ``model``, ``sample``, ``group`` and ``component_group`` as names of its own
(an aesthetic, a dimension it makes); a variable so called breaks plots such as `plot_forest`. The tree
keeps the papers' names; only what is handed to ArviZ is renamed, and a label shows the symbol again.
"""

import xarray as xr

RESERVED = ("alpha", "model", "sample", "group", "component_group")

# Sampled quantities that only shift or join others; tables list them, figures leave them out.
AUXILIARY = ("dropout_concentration", "q_above_one")

GREEK = {"alpha": "α"}


def safe_name(name: str) -> str:
    """Return the name under which ArviZ is given a variable: ``alpha`` becomes ``alpha_``."""
    return f"{name}_" if name in RESERVED else name


def plain_name(name: str) -> str:
    """Return the package's name for what ArviZ was given; undoes `safe_name`."""
    return name[:-1] if name.endswith("_") and name[:-1] in RESERVED else name


def symbol(name: str) -> str:
    """Return how a variable is written in figures and tables.

    >>> symbol("alpha_"), symbol("population_dropout")
    ('α', 'population dropout')
    """
    plain = plain_name(name)
    return GREEK.get(plain, plain.replace("_", " "))


def is_constant(values: xr.DataArray) -> bool:
    """Return whether a variable is one number in all of several draws: fixed, and nothing to plot."""
    return values.size > 1 and bool((values == values.max()).all())


def for_arviz(tree: xr.DataTree) -> xr.DataTree:
    """Return the tree with the names that collide with ArviZ's plot arguments changed in every group."""
    renamed = {}
    for path, group in tree.to_dict().items():
        changes = {str(name): safe_name(str(name)) for name in group.data_vars if str(name) in RESERVED}
        renamed[path] = group.rename(changes) if changes else group
    return xr.DataTree.from_dict(renamed)
