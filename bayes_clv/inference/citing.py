"""The papers behind a fit, as BibTeX."""

from importlib.resources import files

import xarray as xr

from bayes_clv.families.registry import family as find_family
from bayes_clv.schema import InputError


def cite(*posteriors: xr.DataTree) -> str:
    """Return the papers behind these fits as BibTeX, in the order in which their families name them.

    Parameters
    ----------
    posteriors
        Posteriors of ``clv.fit``. What a family of your own names as its references stands as you wrote it.

    Returns
    -------
    str
        One entry a paper, each once; "" where the families name none.

    Raises
    ------
    InputError
        Something that is no posterior.

    Examples
    --------
    >>> clv.cite(buying)[:27]
    '@article{fader2005counting,'
    """
    text = files("bayes_clv.families").joinpath("references.bib").read_text(encoding="utf-8")
    entries = {
        line.partition("{")[2].partition(",")[0]: line for line in text.splitlines() if line.startswith("@")
    }
    keys: list[str] = []
    for tree in posteriors:
        name = getattr(tree, "attrs", {}).get("family")
        if not isinstance(name, str):
            raise InputError(f"cite needs posteriors of clv.fit; got {type(tree).__name__}.")
        keys += [key for key in find_family(name).words.references if key not in keys]
    return "\n\n".join(entries.get(key, key) for key in keys)
