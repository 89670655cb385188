"""The segmentations that the field knows by name, each written as a rule.

They are rules like any other (``rules``): print one's segments to see what it says, and write your own in the same
words.
"""

from collections.abc import Mapping

from bayes_clv.schema import InputError, argument
from bayes_clv.segments.rules import Rule, rule

# Segments of ``clv.segments.lifecycle``: who comes from the first, bought and is now in the second is won back
# (``clv.segments.flow``).
WON_BACK = (("lapsed",), ("repeat", "loyal"))
# Of customers who may be asleep, lost too until they wake.
ASLEEP = "asleep"


def rfm(
    recency: str = "time_since_purchase",
    frequency: str = "purchase_rate",
    monetary: str = "spend_per_purchase",
    scores: int = 5,
) -> Rule:
    """Return RFM scores: recency, frequency and monetary value each cut into equal parts of the base in every draw.

    Parameters
    ----------
    recency : str
        Time since the last purchase; less of it scores higher.
    frequency, monetary : str
        More of it scores higher. By default the customer's own rate and spend level, of which the observed frequency
        and mean spend are noisy measurements.
    scores : int
        Parts of each, from 2 to 9.

    Returns
    -------
    Rule
        One segment a cell, named by its three digits: ``"555"`` bought recently, often and dearly.

    Examples
    --------
    >>> len(rfm(scores=3).segments)
    27
    """
    if not 2 <= scores <= 9:
        raise InputError(f"{argument('scores', scores)} must be a whole number from 2 to 9.")
    segments: dict[str, str | None] = {}
    for r in range(scores, 0, -1):
        for f in range(scores, 0, -1):
            for m in range(scores, 0, -1):
                parts = [
                    _part(recency, scores + 1 - r, scores),
                    _part(frequency, f, scores),
                    _part(monetary, m, scores),
                ]
                segments[f"{r}{f}{m}"] = " and ".join(parts)
    return rule("RFM", segments)


def _part(quantity: str, number: int, parts: int) -> str:
    """Return the condition of the ``number``-th of equal parts of the base, 1 the lowest."""
    bounds = []
    if number > 1:
        bounds.append(f"{quantity} > quantile({(number - 1) / parts:.6g})")
    if number < parts:
        bounds.append(f"{quantity} <= quantile({number / parts:.6g})")
    return " and ".join(bounds)


def abc(quantity: str = "value", shares: tuple[float, float] = (0.8, 0.95)) -> Rule:
    """Return the ABC analysis: A, the best customers, together bring 80 % of the quantity, A and B 95 %, C the rest.

    Parameters
    ----------
    quantity : str
        What is added up, such as value or spend over the horizon.
    shares : tuple of float
        What A, and A and B together, bring.

    Examples
    --------
    >>> [segment.name for segment in abc().segments]
    ['A', 'B', 'C']
    """
    first, both = shares
    if not 0 < first < both < 1:
        raise InputError(
            f"{argument('shares', shares)} must rise and lie between 0 and 1, such as (0.8, 0.95)."
        )
    return rule(
        "ABC",
        {
            "A": f"{quantity} >= bringing({first:.12g})",
            "B": f"bringing({both:.12g}) <= {quantity} and {quantity} < bringing({first:.12g})",
            "C": f"{quantity} < bringing({both:.12g})",
        },
    )


def matrix(
    x: str,
    y: str,
    x_cut: str | float = "quantile(0.5)",
    y_cut: str | float = "quantile(0.5)",
    names: Mapping[tuple[str, str], str] | None = None,
) -> Rule:
    """Return a value matrix: two quantities, each low or high, make four segments.

    Parameters
    ----------
    x, y : str
        Two quantities or expressions of them, such as ``"probability_alive"`` and ``"value"``.
    x_cut, y_cut : str or float
        Where high begins: a number, or a share of the base such as ``"quantile(0.8)"``. What equals a number is high,
        what equals a quantile low: where most bring nothing the median is 0, and nobody is high for bringing nothing.
    names : mapping, optional
        Names of ("high", "low") and the other three pairs, (x, y).

    Examples
    --------
    >>> [segment.name for segment in matrix("probability_alive", "value", x_cut=0.5).segments][:2]
    ['high probability_alive, high value', 'high probability_alive, low value']
    """
    segments: dict[str, str | None] = {}
    for left in ("high", "low"):
        for right in ("high", "low"):
            name = (names or {}).get((left, right), f"{left} {x}, {right} {y}")
            segments[name] = f"({x}) {_sign(left, x_cut)} {x_cut} and ({y}) {_sign(right, y_cut)} {y_cut}"
    return rule(f"{x} × {y}", segments)


def _sign(side: str, cut: str | float) -> str:
    """Return the comparison of what is "high" or "low" with a cut."""
    above, below = (">", "<=") if str(cut).lstrip().startswith("quantile") else (">=", "<")
    return above if side == "high" else below


def four_kinds(
    profit_per_purchase: float,
    purchases: float = 2,
    *,
    margin: float = 1.0,
    cost_to_serve: str | float = 0.0,
) -> Rule:
    """Return the four kinds of customers by profit per transaction and number of future transactions.

    Gold brings much profit a purchase, many times; a meteor much, but not for long; a stream little, but for long; the
    rest is a burden, and so is everybody who costs more to serve than a purchase brings.

    Parameters
    ----------
    profit_per_purchase : float
        Profit of a purchase from which it is much, in money, net of the cost to serve; above 0.
    purchases : float
        Purchases over the horizon from which there are many.
    margin : float
        Share of spend that is earned.
    cost_to_serve : str or float
        Cost of serving a customer, per purchase: one amount, or the name of a column.

    Examples
    --------
    >>> [segment.name for segment in four_kinds(5.0, margin=0.3).segments]
    ['gold', 'meteor', 'stream', 'burden']
    """
    if not profit_per_purchase > 0:
        raise InputError(
            f"{argument('profit_per_purchase', profit_per_purchase)} must be above 0: a purchase that earns nothing "
            f"is a burden."
        )
    much = f"profit >= {profit_per_purchase:.12g}"
    little = f"profit > 0 and profit < {profit_per_purchase:.12g}"
    return rule(
        "Four kinds",
        {
            "gold": f"{much} and purchases >= {purchases:.12g}",
            "meteor": f"{much} and purchases < {purchases:.12g}",
            "stream": f"{little} and purchases >= {purchases:.12g}",
            "burden": None,
        },
        {"profit": f"{margin:.12g} * spend_per_purchase - {cost_to_serve}"},
    )


def lifecycle(
    loyal: float = 4, late: float = 2.0, long_silence: float = 4.0, *, sleeping: bool = False
) -> Rule:
    """Return the stage of the lifecycle: from the first purchase to lapsed, by the customer's own rhythm.

    Parameters
    ----------
    loyal : float
        Repeat purchases from which an active customer is loyal.
    late, long_silence : float
        Silence since the last purchase, in the customer's own mean intervals between purchases (1 / purchase rate):
        from ``late`` on a customer who is still alive is at risk. One who has left is lapsed, whatever the silence.
    sleeping : bool
        Of a fit with ``returns=True``: a stage of its own for customers who are asleep, and will buy again. Those awake
        have the other stages, and lapsed are those gone for ever, or awake and silent for ``long_silence`` intervals.

    Returns
    -------
    Rule
        "first purchase", "repeat", "loyal" (alive and within its rhythm), "at risk" (alive and late), with ``sleeping``
        "asleep", "lapsed" (has left, or is silent for ``long_silence`` intervals).

    Notes
    -----
    Prospects have bought nothing and are in no order log; "won back" compares two dates. Both are in the result of
    ``clv.segments.flow``.

    Examples
    --------
    >>> [segment.name for segment in lifecycle().segments]
    ['first purchase', 'repeat', 'loyal', 'at risk', 'lapsed']
    >>> [segment.name for segment in lifecycle(sleeping=True).segments][-2:]
    ['asleep', 'lapsed']
    """
    if not 0 < late < long_silence:
        raise InputError(
            f"{argument('late', late)} must be above 0 and below {argument('long_silence', long_silence)}."
        )
    present = "alive == 1 and asleep == 0" if sleeping else "alive == 1"
    here = f"{present} and silence < {late:.12g}"
    return rule(
        "Lifecycle",
        {
            "first purchase": f"{here} and frequency <= 0",
            "repeat": f"{here} and frequency > 0 and frequency < {loyal:.12g}",
            "loyal": f"{here} and frequency >= {loyal:.12g}",
            "at risk": f"{present} and silence >= {late:.12g} and silence < {long_silence:.12g}",
            **({ASLEEP: "asleep == 1"} if sleeping else {}),
            "lapsed": None,
        },
        {"silence": "time_since_purchase * purchase_rate"},
    )


def five_actions(
    cost: str | float,
    *,
    loyal: float = 1,
    late: float = 2.0,
    share: str | None = None,
    own_share: float = 0.5,
    potential: str | None = None,
    much_potential: float = 0.0,
) -> Rule:
    """Return for which of five actions a customer is: find, protect, keep, defend, extend; or none.

    Of customers whose value over the horizon is above their cost and who have not left:

    - *protect* those at risk, silent for longer than their own rhythm explains: value is about to be lost;
    - *find* those who are not loyal yet: new ones who are worth it, of whom more are to be found and won;
    - *defend* those who are loyal, but spend most of their money with competitors;
    - *extend* those who are loyal and spend it here, and could buy much more;
    - *keep* the other loyal ones as they are;
    - *no action* for all others, whose value does not cover the cost, or who have left.

    Parameters
    ----------
    cost : str or float
        What a customer costs over the horizon: one amount of money, or the name of a column.
    loyal : float
        Repeat purchases from which a customer is loyal.
    late : float
        Silence since the last purchase, in the customer's own mean intervals between purchases (1 / purchase rate),
        from which it is at risk.
    share : str, optional
        Column of the share of the customer's wallet that is spent here, between 0 and 1; what is missing to 1 is the
        pull of competitors. Without it nobody is to be defended, since no order log tells it.
    own_share : float
        The share from which the customer is one's own.
    potential : str, optional
        Quantity, column or expression of what the customer could bring beside, in money. Without it nobody is to be
        extended.
    much_potential : float
        From which on it is much.

    Returns
    -------
    Rule
        Its segments are the actions; ``clv.valuation.plan_actions`` says in which order and for which gain.

    Notes
    -----
    The field names these five actions in many ways; that is how they are meant here, in the order of the list: a
    customer at risk is protected whatever else it is.

    Examples
    --------
    >>> [segment.name for segment in five_actions(cost=10.0).segments]
    ['find', 'protect', 'keep', 'no action']
    >>> full = five_actions("cost", share="share_of_wallet", potential="potential", much_potential=50)
    >>> [segment.name for segment in full.segments]
    ['find', 'protect', 'keep', 'defend', 'extend', 'no action']
    """
    for name, value in (("loyal", loyal), ("late", late)):
        if not value > 0:
            raise InputError(f"{argument(name, value)} must be above 0.")
    if not isinstance(cost, str) and not cost >= 0:
        raise InputError(f"{argument('cost', cost)} must be 0 or more.")
    if share is not None and not 0 < own_share < 1:
        raise InputError(f"{argument('own_share', own_share)} must be a share between 0 and 1, such as 0.5.")
    worth = "surplus > 0 and alive == 1"
    new = f"{worth} and silence < {late:.12g} and frequency < {loyal:.12g}"
    here = f"{worth} and silence < {late:.12g} and frequency >= {loyal:.12g}"
    segments = {"find": new, "protect": f"{worth} and silence >= {late:.12g}"}
    mine = here if share is None else f"{here} and {share} >= {own_share:.12g}"
    segments["keep"] = mine if potential is None else f"{mine} and {potential} < {much_potential:.12g}"
    if share is not None:
        segments["defend"] = f"{here} and {share} < {own_share:.12g}"
    if potential is not None:
        segments["extend"] = f"{mine} and {potential} >= {much_potential:.12g}"
    return rule(
        "Five actions",
        {**segments, "no action": None},
        {
            "surplus": f"value - {cost if isinstance(cost, str) else f'{cost:.12g}'}",
            "silence": "time_since_purchase * purchase_rate",
        },
    )
