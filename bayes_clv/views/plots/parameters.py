"""Population parameters: did the chains agree, what was learned, and what the prior said.

ArviZ draws these; here the tree is prepared (`rename.for_arviz`), the labels become symbols with units,
and the figures get the package's style. Each function returns ArviZ's PlotCollection.

A forest (one axis for all parameters) was tried and rejected: it puts weeks, probabilities and pure
numbers on one scale, where the narrow ones shrink to a dot.
"""

from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.language import say
from bayes_clv.schema import InputError, quantiles
from bayes_clv.views import names as rename
from bayes_clv.views import style

INTERVAL = 0.9
# Enough to see chains that differ, and for the test behind p, whose time grows with the square of them.
RANK_DRAWS = 250
# How far the draws of nuts are to be trusted, as ArviZ names it.
CONVERGENCE = ("ess_bulk", "ess_tail", "r_hat")


def _names(posterior: xr.DataTree) -> list[str]:
    """Return the population parameters under the names ArviZ is given; one draw cannot be drawn."""
    if "posterior" not in posterior.children:
        raise InputError("The tree has no group 'posterior'. Give the result of fit.")
    group = posterior["posterior"].to_dataset()
    if group.sizes["draw"] < 4:
        raise InputError(
            f"The posterior has {group.sizes['draw']} draw(s) a chain: a point, which has no distribution to plot. "
            "Fit with method='nuts' or method='laplace'."
        )
    names = [
        str(n)
        for n, v in group.data_vars.items()
        if set(v.dims) == {"chain", "draw"} and not rename.is_constant(v)
    ]
    return [rename.safe_name(name) for name in names if name not in rename.AUXILIARY]


def parameter_rows(posterior: xr.DataTree) -> list[dict[str, Any]]:
    """Return a row a population parameter: what it means, its draws in numbers, and of nuts how far to trust them."""
    import arviz as az

    if "posterior" not in posterior.children:
        raise InputError("The tree has no group 'posterior'. Give the result of fit.")
    group = posterior["posterior"].to_dataset()
    names = [str(name) for name, values in group.data_vars.items() if set(values.dims) == {"chain", "draw"}]
    found = None
    if posterior.attrs.get("method", "nuts") == "nuts" and group.sizes["draw"] >= 4:
        found = az.summary(
            rename.for_arviz(posterior),
            var_names=[rename.safe_name(name) for name in names if not rename.is_constant(group[name])],
            kind="diagnostics",
            round_to="none",
        )
    rows = []
    for name in names:
        draws = group[name].to_numpy().ravel().astype(float)
        low, median, high = quantiles(draws, (0.05, 0.5, 0.95))
        row: dict[str, Any] = {
            "parameter": name,
            "meaning": str(group[name].attrs.get("long_name", "")),
            "unit": str(group[name].attrs.get("units", "")),
            "mean": float(draws.mean()),
            "sd": float(draws.std(ddof=1)) if draws.size > 1 else float("nan"),
            "q05": low,
            "median": median,
            "q95": high,
        }
        if found is not None:
            fixed = rename.is_constant(group[name])
            line = {} if fixed else found.loc[rename.safe_name(name)]
            row |= {each: float("nan") if fixed else float(line[each]) for each in CONVERGENCE}
        rows.append(row)
    return rows


def _label(posterior: xr.DataTree, safe: str) -> str:
    name = rename.plain_name(safe)
    unit = str(posterior["posterior"][name].attrs.get("units", ""))
    # Names of parameters are the same in every language, as in the tables.
    shown = rename.symbol(name)
    gap = "\n" if len(shown) > 8 else " "
    return f"{shown}{gap}({say(unit)})" if unit else shown


def _figure(columns: int, panels: int, row_height: float) -> dict[str, Any]:
    height = 0.6 + row_height * int(np.ceil(panels / columns))
    return {"figsize": (style.WIDTH, height), "layout": "constrained"}


def _columns(names: list[str]) -> int:
    return 4 if len(names) == 4 else 3


def _log_scale(name: str) -> bool:
    return name != "population_dropout"


def _thinned(posterior: xr.DataTree) -> xr.DataTree:
    """Return the draws with at most RANK_DRAWS of each chain, evenly spaced."""
    draws = posterior["posterior"].to_dataset()
    kept = np.unique(np.linspace(0, draws.sizes["draw"] - 1, RANK_DRAWS).round().astype(int))
    thin = xr.DataTree.from_dict({"posterior": draws.isel(draw=kept)})
    thin.attrs = posterior.attrs
    return thin


def plot_diagnostics(posterior: xr.DataTree) -> Any:
    """Plot the fractional ranks of each chain's draws of every population parameter.

    When the chains agree, their lines (difference between the ECDF of a chain's ranks and the uniform) wander about
    zero without a trend; p is the probability of lines at least so far from zero if the chains agree (ArviZ's
    ``plot_rank``). Of longer chains 250 draws are shown, evenly taken. Densities of each chain beside them said the
    same with less force, and took as long again.

    Parameters
    ----------
    posterior : xarray.DataTree
        The result of ``fit``.

    Returns
    -------
    arviz_plots.PlotCollection
        One panel a parameter, one colour a chain.

    Raises
    ------
    InputError
        When the tree has no posterior, or a single point (``method="mode"``).

    Examples
    --------
    >>> collection = plot_diagnostics(buying)
    """
    import arviz as az

    names = _names(posterior)
    columns = _columns(names)
    with style.styled(arviz=True):
        collection = az.plot_rank(
            rename.for_arviz(_thinned(posterior)),
            var_names=names,
            backend="matplotlib",
            col_wrap=columns,
            visuals={"title": False, "xlabel": False},
            figure_kwargs=_figure(columns, len(names), 1.7),
        )
        for name in names:
            ranks = collection.viz["plot"][name].item()
            shown = rename.symbol(name)
            gap = "\n" if len(shown) > 8 else " "
            ranks.set_xlabel(say("rank of{gap}{parameter}", gap=gap, parameter=shown))
            ranks.set_ylabel("")
            for line in ranks.lines:
                line.set(rasterized=True, marker="", linestyle="-", linewidth=1.2)
            for text in ranks.texts:  # "p=0.14(α=0.01) " reads as a parameter called alpha
                text.set(text=text.get_text().split("(")[0].replace("p=", "p = "), color=style.MUTED)
    return collection


def plot_prior_posterior(posterior: xr.DataTree) -> Any:
    """Plot the prior and the posterior density of every population parameter.

    Parameters
    ----------
    posterior : xarray.DataTree
        The result of ``fit`` with a group ``prior`` (``fit(..., include=("prior",))``).

    Returns
    -------
    arviz_plots.PlotCollection
        One panel a parameter. Positive parameters are on a log scale, and their densities are per unit of
        log10: a prior that spans orders of magnitude and a narrow posterior can then both be seen.

    Raises
    ------
    InputError
        When the tree has no prior group.
    """
    import arviz as az

    if "prior" not in posterior.children:
        raise InputError(
            "The posterior has no group 'prior', so there is nothing to compare with. "
            'Fit with include=("prior",).'
        )
    tree = rename.for_arviz(posterior)
    prior = tree["prior"].to_dataset()
    names = [name for name in _names(posterior) if name in prior.data_vars]
    logged = xr.DataTree.from_dict(
        {
            group: xr.Dataset(
                {
                    n: np.log10(v) if _log_scale(str(n)) else v
                    for n, v in tree[group].to_dataset()[names].items()
                }
            )
            for group in ("prior", "posterior")
        }
    )
    with style.styled(arviz=True):
        collection = az.plot_prior_posterior(
            logged,
            var_names=names,
            kind="kde",
            backend="matplotlib",
            col_wrap=_columns(names),
            visuals={"title": False},
            color=[style.AMBER, style.BLUE],
            figure_kwargs=_figure(_columns(names), len(names), 1.9),
        )
        for name in names:
            axes = collection.viz["plot"][name].item()
            axes.set_xlabel(_label(posterior, name))
            if _log_scale(name):
                _power_ticks(axes)
        collection.viz["legend"]["group"].item().remove()  # it covers the first panel
        first = collection.viz["dist"][names[0]]
        style.figure_of(collection).legend(
            [first.sel(group="prior").item(), first.sel(group="posterior").item()],
            [say("prior"), say("posterior")],
            loc="outside upper right",
            ncols=2,
        )
    return collection


def _power_ticks(axes: Any) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda power, _: f"{10.0**power:,g}"))


def plot_parameters(posterior: xr.DataTree) -> Any:
    """Plot the posterior density of every population parameter with its median and 90 % interval.

    The interval holds the central 90 % of the draws, all chains together (level: expected).

    Parameters
    ----------
    posterior : xarray.DataTree
        The result of ``fit``.

    Returns
    -------
    arviz_plots.PlotCollection
        One panel a parameter, each on its own axis with its unit.
    """
    import arviz as az

    names = _names(posterior)
    with style.styled(arviz=True):
        collection = az.plot_dist(
            rename.for_arviz(posterior),
            var_names=names,
            kind="kde",
            ci_kind="eti",
            ci_prob=INTERVAL,
            point_estimate="median",
            backend="matplotlib",
            visuals={
                "title": False,
                "dist": {"color": style.BLUE},
                "credible_interval": {"color": style.INK},
                "point_estimate": {"color": style.INK},
                "point_estimate_text": False,
            },
            col_wrap=_columns(names),
            figure_kwargs=_figure(_columns(names), len(names), 1.9),
        )
        for name in names:
            axes = collection.viz["plot"][name].item()
            low, median, high = quantiles(posterior["posterior"][rename.plain_name(name)], (0.05, 0.5, 0.95))
            middle, least, most = (f"{each:#.3g}".rstrip(".") for each in (median, low, high))
            axes.set_title(f"{middle}  [{least}, {most}]", fontsize=9, color=style.MUTED)
            axes.set_xlabel(_label(posterior, name))
    return collection
