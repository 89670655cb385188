"""MBG/CNBD-k: MBG/NBD with regular timing (Reutterer, Platzer & Schröder 2021).

Leveraging Purchase Regularity for Predicting Customer Behavior the Easy Way, International Journal of Research in
Marketing 38(1); the models of Platzer & Reutterer (2016), Ticking Away the Moments: Timing Regularity Helps to Better
Predict Customer Activity, Marketing Science 35(5), are its relatives.

BG/CNBD-k with one change: the coin is tossed after the first purchase as well. A customer, while alive, passes phases
at rate lambda, and every k-th is a purchase, so that the times between purchases are Erlang-k; after each purchase,
the first included, he drops out for ever with probability p. Rates vary over customers as lambda ~ Gamma(r, rate
alpha), dropout as p ~ Beta(a, b); k is one for all. k = 1 is MBG/NBD. A new customer (x = t_x = T = 0, its first
purchase just made) is alive with probability b / (a + b).

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
a / (a+b)      mean probability of dropping out after a purchase            probability
=============  ===========================================================  ==================

With c = r + k x, z = (T - t_x) / (alpha + T) and the intervals d_i the likelihood is

    prod d_i^(k-1) / (k-1)! * Gamma(c) alpha^r / Gamma(r) [B(a, b + x + 1) / B(a, b) (alpha + T)^-c
    sum_{j<k} (c)_j / j! z^j + B(a + 1, b + x) / B(a, b) (alpha + t_x)^-c],

the density of the ordered purchase times, as in MBG/NBD, so that the two may be compared.

All durations share one unit, and any unit will do. Priors, the choice of k and what it shares with BG/CNBD-k are told
there and in ``beta_erlang``: here the tosses are x + 1.

Examples
--------
>>> from bayes_clv.families import Forecast, need
>>> forecast, seen = need(FAMILY, Forecast), {"frequency": 6, "recency": 24.0, "T": 38.86}
>>> shapes = {"r": 0.525, "a": 0.891, "b": 1.614}
>>> [round(float(forecast.alive(seen, shapes | {"alpha": 6.183 / k, "k": k})), 4) for k in (1, 3)]
[0.3854, 0.0595]
"""

from bayes_clv.families.contract import Family, Words
from bayes_clv.families.purchases import beta_erlang

FAMILY = Family(
    name="mbg_cnbd_k",
    kind="purchases",
    words=Words(
        title="MBG/CNBD-k",
        summary=(
            "Purchases follow MBG/CNBD-k (Reutterer, Platzer & Schröder 2021): while alive a customer buys at its "
            "own rate, at times as even as k says (1 is random), and after each purchase, the first included, may "
            "leave for ever with its own probability."
        ),
        caution="",
        meanings=beta_erlang.meanings("a purchase, the first included"),
        references=("platzer2008", "reutterer2021", "platzer2016"),
    ),
    forecast=beta_erlang.forecast(first=1),
    **beta_erlang.model(first=1),
)
