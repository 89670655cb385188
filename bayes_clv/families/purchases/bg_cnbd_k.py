"""BG/CNBD-k: BG/NBD with regular timing (Platzer 2008; Reutterer, Platzer & Schröder 2021).

Leveraging Purchase Regularity for Predicting Customer Behavior the Easy Way, International Journal of Research in
Marketing 38(1); the models of Platzer & Reutterer (2016), Ticking Away the Moments: Timing Regularity Helps to Better
Predict Customer Activity, Marketing Science 35(5), are its relatives. The condensed NBD (k = 2, without dropout) is of
Chatfield & Goodhardt (1973).

A customer, while alive, passes phases at rate lambda, and every k-th is a purchase, so that the times between purchases
are Erlang-k; after each repeat purchase he drops out for ever with probability p. Rates vary over customers as
lambda ~ Gamma(r, rate alpha), dropout as p ~ Beta(a, b); k is one for all. k = 1 is BG/NBD. The more even the times
between purchases (larger k), the sooner a silence tells that the customer has left, and the sooner the next purchase
is due.

=============  ===========================================================  ==================
symbol         meaning                                                      unit
=============  ===========================================================  ==================
r              shape of the rates of phases                                 none
alpha          rate of the Gamma of the rates of phases                     time
a, b           shapes of the dropout probabilities                          none
k              phases from one purchase to the next                         count
x              frequency: repeat purchase occasions                         count
t_x            recency: age at the last purchase (0 when x = 0)             time
T              age at the end of observation                                time
t              a horizon after T                                            time
log_intervals  sum of the logarithms of the x times between purchases       none (log time)
r / (k alpha)  mean purchase rate of a new customer                         1 / time
a / (a+b)      mean probability of dropping out after a repeat purchase     probability
=============  ===========================================================  ==================

Priors are those of BG/NBD on the same quantities, the mean purchase rate among them. ``priors={"k": 2}`` fixes k;
without it, the data choose among 1 to 12, at equal weights (``inference.choice``). Only that choice and comparisons
between k need ``log_intervals``: given k, forecasts depend on x, t_x and T alone.

With c = r + k x, z = (T - t_x) / (alpha + T) and the intervals d_i the likelihood is

    prod d_i^(k-1) / (k-1)! * Gamma(c) alpha^r / Gamma(r) [B(a, b + x) / B(a, b) (alpha + T)^-c
    sum_{j<k} (c)_j / j! z^j + 1[x > 0] B(a + 1, b + x - 1) / B(a, b) (alpha + t_x)^-c],

the density of the ordered purchase times, as in BG/NBD, so that the two may be compared. The paper approximates the
expected purchases; here they are exact.

All durations share one unit, and any unit will do. A new customer is x = t_x = T = 0. What it shares with MBG/CNBD-k is
in ``beta_erlang``: here the tosses are x.

Examples
--------
>>> from bayes_clv.families import Forecast, need
>>> forecast, seen = need(FAMILY, Forecast), {"frequency": 6, "recency": 24.0, "T": 38.86}
>>> shapes = {"r": 0.2426, "a": 0.7929, "b": 2.4259}
>>> [round(float(forecast.alive(seen, shapes | {"alpha": 4.4136 / k, "k": k})), 4) for k in (1, 3)]
[0.4039, 0.0633]
"""

from bayes_clv.families.contract import Family, Words
from bayes_clv.families.purchases import beta_erlang

FAMILY = Family(
    name="bg_cnbd_k",
    kind="purchases",
    words=Words(
        title="BG/CNBD-k",
        summary=(
            "Purchases follow BG/CNBD-k (Reutterer, Platzer & Schröder 2021): while alive a customer buys at its "
            "own rate, at times as even as k says (1 is random), and after each repeat purchase may leave for ever "
            "with its own probability."
        ),
        caution=(
            "A customer can leave only after a repeat purchase, so a customer without one is alive with probability "
            "1, however long the silence. Do not read that as loyalty. Fit mbg_cnbd_k (MBG/CNBD-k) instead, in "
            "which a customer may leave after the first purchase too; or rank such customers by their expected "
            "purchases, which do fall with silence."
        ),
        meanings=beta_erlang.meanings("a repeat purchase"),
        references=("platzer2008", "reutterer2021", "platzer2016", "chatfield1973"),
    ),
    forecast=beta_erlang.forecast(first=0),
    **beta_erlang.model(first=0),
)
