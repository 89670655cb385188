"""BG/NBD: beta-geometric/negative binomial purchases (Fader, Hardie & Lee 2005).

"Counting Your Customers" the Easy Way: An Alternative to the Pareto/NBD Model, Marketing Science 24(2).

A customer, while alive, buys at rate lambda; after each repeat purchase he drops out for ever with
probability p. Rates vary over customers as lambda ~ Gamma(r, rate alpha), dropout as p ~ Beta(a, b).

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
a / (a+b)   mean probability of dropping out after a repeat purchase     probability
==========  ===========================================================  ==================

Default priors: r / alpha is LogNormal about the data's crude rate with 1.5 on the log scale, r LogNormal(0, 1.5),
a / (a+b) uniform, a + b LogNormal(1, 1.25). For CDNOW they say, 90 %: 0.003 to 0.39 purchases a week, 9 to 98 % of new
customers alive after a year, 0.1 to 5 purchases in it (``clv.views.plot_prior`` draws this of any fit).

The likelihood is eq. 6 of the paper: the log density of the ordered purchase times; t_x^(x-1) / (x-1)! more, a factor
of the data only, makes it the density of (x, t_x). P(alive) is that of Fader, Hardie & Lee (2008), Computing P(alive)
Using the BG/NBD Model, 1 where x = 0; expected purchases are eq. 10, of a new customer eq. 9, and their pmf eq. 8.

All durations share one unit, and any unit will do. A new customer is x = t_x = T = 0. What it shares with MBG/NBD,
which tosses the coin after the first purchase too, is in ``beta_geometric``: here the tosses are x.

Examples
--------
>>> from bayes_clv.families import Forecast, need
>>> forecast, seen = need(FAMILY, Forecast), {"frequency": 2, "recency": 30.43, "T": 38.86}
>>> cdnow = {"r": 0.2426, "alpha": 4.4136, "a": 0.7929, "b": 2.4259}
>>> round(float(forecast.alive(seen, cdnow)), 4), round(float(forecast.purchases(39, seen, cdnow)), 3)
(0.7266, 1.226)
>>> round(float(forecast.discounted(float("inf"), 0.0027, seen, cdnow)), 3)
5.157
"""

from bayes_clv.families.contract import Family, Words
from bayes_clv.families.purchases import beta_geometric

FAMILY = Family(
    name="bg_nbd",
    kind="purchases",
    words=Words(
        title="BG/NBD",
        summary=(
            "Purchases follow BG/NBD (Fader, Hardie & Lee 2005): while alive a customer buys at random at its own "
            "rate, and after each repeat purchase may leave for ever with its own probability."
        ),
        caution=(
            "A customer can leave only after a repeat purchase, so a customer without one is alive with probability "
            "1, however long the silence. Do not read that as loyalty. Fit mbg_nbd (MBG/NBD) instead, in which a "
            "customer may leave after the first purchase too; or rank such customers by their expected purchases, "
            "which do fall with silence."
        ),
        meanings=beta_geometric.meanings("a repeat purchase"),
        references=("fader2005counting", "fader2008palive", "fader2005rfm"),
    ),
    forecast=beta_geometric.forecast(first=0),
    **beta_geometric.model(first=0),
)
