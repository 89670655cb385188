"""MBG/NBD: modified beta-geometric/negative binomial purchases (Batislam, Denizel & Filiztekin 2007).

Empirical validation and comparison of models for customer base analysis, International Journal of Research in
Marketing 24(3).

BG/NBD with one change: the coin is tossed after the first purchase as well. A customer, while alive, buys at rate
lambda; after each purchase, the first included, he drops out for ever with probability p. Rates vary over
customers as lambda ~ Gamma(r, rate alpha), dropout as p ~ Beta(a, b). So a customer without repeat purchase may
have left, and a new one (x = t_x = T = 0, its first purchase just made) is alive with probability b / (a + b).

==========  ===========================================================  ==================
symbol      meaning                                                      unit
==========  ===========================================================  ==================
r           shape of the purchase rates                                  none
alpha       rate of the Gamma of purchase rates                          time
a, b        shapes of the dropout probabilities                          none
x           frequency: repeat purchase occasions                         count
t_x         recency: age at the last purchase (0 when x = 0)             time
T           age at the end of observation                                time
t           a horizon after T                                            time
r / alpha   mean purchase rate of a new customer                         1 / time
a / (a+b)   mean probability of dropping out after a purchase            probability
==========  ===========================================================  ==================

The likelihood is

    Gamma(r + x) alpha^r / Gamma(r) [B(a, b + x + 1) / B(a, b) (alpha + T)^-(r + x)
    + B(a + 1, b + x) / B(a, b) (alpha + t_x)^-(r + x)],

the density of the ordered purchase times; t_x^(x-1) / (x-1)! more, a factor of the data only, makes it the density of
(x, t_x). P(alive) is 1 / (1 + a / (b + x) ((alpha + T) / (alpha + t_x))^(r + x)).

All durations share one unit, and any unit will do. What it shares with BG/NBD is in ``beta_geometric``: here the tosses
are x + 1.

Examples
--------
>>> from bayes_clv.families import Forecast, need
>>> forecast, seen = need(FAMILY, Forecast), {"frequency": 2, "recency": 30.43, "T": 38.86}
>>> cdnow = {"r": 0.5248, "alpha": 6.183, "a": 0.8914, "b": 1.614}
>>> round(float(forecast.purchases(39, seen, cdnow)), 3)
1.263
>>> round(float(forecast.discounted(float("inf"), 0.0027, seen, cdnow)), 2)
4.91
>>> round(float(forecast.alive({"frequency": 0, "recency": 0, "T": 39}, cdnow)), 4)
0.3893
"""

from bayes_clv.families.contract import Family, Words
from bayes_clv.families.purchases import beta_geometric

FAMILY = Family(
    name="mbg_nbd",
    kind="purchases",
    words=Words(
        title="MBG/NBD",
        summary=(
            "Purchases follow MBG/NBD (Batislam, Denizel & Filiztekin 2007): while alive a customer buys at random "
            "at its own rate, and after each purchase, the first included, may leave for ever with its own "
            "probability."
        ),
        caution="",
        meanings=beta_geometric.meanings("a purchase, the first included"),
        references=("batislam2007", "fader2005rfm"),
    ),
    forecast=beta_geometric.forecast(first=1),
    **beta_geometric.model(first=1),
)
