"""The command ``offers``: a file of ratings, weights and prices in; who is the best value, tables and figures out."""

from pathlib import Path
from typing import TYPE_CHECKING

from bayes_clv.language import check_language
from bayes_clv.schema import InputError, argument
from bayes_clv.workflows.choices import Offering
from bayes_clv.workflows.folders import all_or_nothing, check_out, save_figures

if TYPE_CHECKING:
    import xarray as xr

ADVANTAGES = "-advantages"


def offer_run(choice: Offering) -> list[str]:
    """Write tables of the rivals and of their advantages by attribute, and figures; return the summary's lines.

    Written are ``out``, one row a rival; beside it ``-advantages`` of the same kind, and the figures ``.png`` and, of
    ``rival``, ``-advantages.png``.

    Raises
    ------
    InputError
        For anything that cannot be used; nothing is then written.
    """
    check_language(choice.language)
    out = Path(choice.out)
    check_out(out, out / "run")
    from bayes_clv.perceived.market_files import read_market
    from bayes_clv.perceived.markets import unsure
    from bayes_clv.perceived.offers import price_performance
    from bayes_clv.views.fonts import figures_in
    from bayes_clv.views.frames import table
    from bayes_clv.views.plots.offers import plot_advantages, plot_price_performance
    from bayes_clv.workflows.folders import write_table

    market = read_market(choice.market, scale=(choice.lowest, choice.highest))
    rivals = [str(name) for name in market["rival"].to_numpy()]
    if choice.rival is not None and choice.rival not in rivals:
        raise InputError(f"{argument('rival', choice.rival)} is no rival. There are {', '.join(rivals)}.")
    if choice.concentration is not None or choice.rating_error is not None:
        market = unsure(
            market,
            concentration=choice.concentration,
            rating_error=choice.rating_error,
            draws=choice.draws,
            seed=choice.seed,
        )
    offers = price_performance(market, choice.slope, against=choice.against)
    if choice.currency is not None:
        offers = offers.assign_attrs(currency=choice.currency)
    split = out.with_stem(f"{out.stem}{ADVANTAGES}")
    with figures_in(choice.language):
        figures = {out.stem: plot_price_performance(offers)}
        if choice.rival is not None:
            figures[split.stem] = plot_advantages(offers, choice.rival)
    with all_or_nothing(out) as work:
        write_table(table(offers), work / out.name)
        write_table(table(offers, by="attribute"), work / split.name)
        notes = save_figures(figures, work)
    return [
        *offer_summary(offers),
        "",
        f"Rivals: {out}",
        f"Advantages: {split}",
        f"Figures: {', '.join(str(out.with_name(f'{stem}.png')) for stem in figures)}",
        *notes,
    ]


def offer_summary(offers: "xr.Dataset") -> list[str]:
    """Return a line a rival, the best value first."""
    from bayes_clv.views.numbers import money, money_unit

    def amount(each: float) -> str:
        return money(each, offers.attrs.get("currency"))

    def middle(name: str) -> list[float]:
        found = offers[f"{name}_mean"] if f"{name}_mean" in offers else offers[name]
        return [float(each) for each in found.to_numpy()]

    against = str(offers.attrs["against"])
    other = "the average of the rivals" if against == "average" else against
    lines = [
        f"What each offer is worth to customers for its price, against {other}, in {money_unit(offers)}:",
        "",
    ]
    gain, fair = middle("total_advantage"), middle("fair_price")
    for at in sorted(range(len(gain)), key=lambda place: -gain[place]):
        name, price = str(offers["rival"].to_numpy()[at]), float(offers["total_price"][at])
        sure = ""
        if "probability_best" in offers:
            low, high = (float(offers[f"total_advantage_{end}"][at]) for end in ("q05", "q95"))
            sure = (
                f" (90 %: {amount(low)} to {amount(high)}), best value with a probability of "
                f"{float(offers['probability_best'][at]):.0%}"
            )
        lines.append(
            f"  {name}: {amount(gain[at])}{sure}; costs {amount(price)}, fair would be {amount(fair[at])}."
        )
    return lines
