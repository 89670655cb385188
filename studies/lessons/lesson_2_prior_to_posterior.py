"""Lesson 2: from prior to posterior, first with ten customers, then with one of them over 39 weeks."""

import marimo

app = marimo.App(app_title="Lesson 2: from prior to posterior")

with app.setup:
    import marimo as mo
    import numpy as np
    import pandas as pd

    from studies.lessons import by_hand, weighing
    from studies.lessons.pieces import COLOURS, figure, hidden, percent, picture, text

    # The truth, which the class does not know: CDNOW's. Every customer is watched for 39 weeks.
    TRUE_RATE = by_hand.BUYING["r"] / by_hand.BUYING["alpha"]
    TRUE_DROPOUT = by_hand.BUYING["a"] / (by_hand.BUYING["a"] + by_hand.BUYING["b"])


@app.cell
def _():
    text("""
    # Lesson 2: from prior to posterior

    *About 60 minutes. You need: lesson 1; what a histogram is.*

    Bayesian statistics is one sentence: *what you believed, times how well it explains what you saw, is
    what you believe now.* This lesson does just that, by weighing, with ten customers and no algorithm;
    and then with one customer who is watched for 4, 13 and 39 weeks.
    """)
    return


@app.cell
def _():
    everybody = by_hand.simulated(100, 39, seed=12)
    believed = weighing.prior(20_000, seed=1, rate=0.1)
    explained = weighing.log_likelihoods(everybody, believed)
    return believed, everybody, explained


@app.cell
def _(everybody):
    known = mo.ui.slider(
        steps=[0, 1, 2, 5, 10, 20, 50, 100], value=10, label="Customers we have seen", show_value=True
    )
    _ten = everybody.head(10)
    _rows = "\n".join(
        f"| {place + 1} | {row.frequency:.0f} | "
        f"{'–' if row.frequency == 0 else f'week {np.ceil(row.recency):.0f}'} |"
        for place, row in enumerate(_ten.itertuples())
    )
    mo.vstack(
        [
            text(f"""
## 1. Ten customers

A new shop has ten customers, each watched for 39 weeks since the first purchase. Before it opened, the
owner believed: a customer buys once every 10 weeks, give or take a factor of four or so; and of those
who bought, any share might never return, from none to all, with no preference.

| customer | repeat purchases | the last one |
|---|---|---|
{_rows}

**Guess first:** how many purchases a week does a customer of this shop make on average, as long as they
stay? And how sure can ten customers make us: to 10%, to 50%, or to a factor of two?
            """),
            known,
        ]
    )
    return (known,)


@app.cell
def _(believed, explained, known):
    seen_so_far = explained[:, : known.value].sum(axis=1)
    counts_for = weighing.weights(seen_so_far)
    rate_ends = weighing.quantiles(believed["population_purchase_rate"], counts_for)
    leave_ends = weighing.quantiles(believed["population_dropout"], counts_for)
    equal = np.full(counts_for.size, 1 / counts_for.size)
    with figure(
        "What we believe",
        f"grey: before; blue: after {known.value} customers; dotted: the truth",
        2.8,
        panels=2,
    ) as (
        _drawn,
        _axes,
    ):
        for _panel, _values, _edges, _truth, _name in (
            (
                _axes[0],
                believed["population_purchase_rate"],
                np.linspace(0, 0.5, 51),
                TRUE_RATE,
                "purchases a week",
            ),
            (
                _axes[1],
                believed["population_dropout"],
                np.linspace(0, 1, 41),
                TRUE_DROPOUT,
                "share who leave after a purchase",
            ),
        ):
            _panel.hist(_values, bins=_edges, weights=equal, color="#9aa5b1", alpha=0.6)
            _panel.hist(
                _values, bins=_edges, weights=counts_for, color=COLOURS[0], histtype="step", linewidth=1.8
            )
            _panel.axvline(_truth, color="#1f2933", linestyle=":")
            _panel.set(xlabel=_name)
            percent(_panel.yaxis)
    hidden(
        "Show what ten customers say",
        picture(
            _drawn, "Prior and posterior of the mean purchase rate and of the share who leave, side by side"
        ),
        f"After {known.value} customers the mean rate lies between {rate_ends[0]:.2f} and "
        f"{rate_ends[2]:.2f} a week (90%; the truth is {TRUE_RATE:.3f}), and the share who leave after "
        f"a purchase between {leave_ends[0]:.0%} and {leave_ends[2]:.0%} (truth {TRUE_DROPOUT:.0%}).",
        "How it was made: 20,000 worlds were drawn from what the owner believed; of each we asked how "
        f"probable these customers are in it; that is its weight. {weighing.effective(counts_for):,.0f} "
        "of the 20,000 still count. Move the slider to 100 and see that number fall: weighing is "
        "honest and wasteful, which is why computers do it otherwise.",
        "> **Say in the meeting:** With ten customers we know the rate within a factor of "
        f"{(rate_ends[2] / rate_ends[0]) ** 0.5:.1f} up or down, and hardly anything about who leaves.",
    )
    return counts_for, leave_ends, rate_ends, seen_so_far


@app.cell
def _():
    centre = mo.ui.slider(
        steps=[0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0],
        value=0.5,
        label="The owner believed: purchases a week",
        show_value=True,
    )
    mo.vstack(
        [
            text("""
            ## 2. What if the owner was wrong?

            An optimist opens the same shop and believes in one purchase every *two* weeks. Both see the
            same customers.

            **Guess first:** after ten customers, how far apart are the two? And after a hundred?
            """),
            centre,
        ]
    )
    return (centre,)


@app.cell
def _(believed, centre, explained):
    _spread = dict(by_hand.FAMILY.quantities["population_purchase_rate"].prior.arguments)["sigma"]
    _away = np.log(believed["population_purchase_rate"])
    # The same worlds, believed by somebody else: a log-normal prior with another centre, over the one they came from.
    other_belief = (-((_away - np.log(centre.value)) ** 2) + (_away - np.log(0.1)) ** 2) / (2 * _spread**2)
    shown = [1, 2, 5, 10, 20, 50, 100]
    apart = {
        name: np.array(
            [
                weighing.quantiles(
                    believed["population_purchase_rate"],
                    weighing.weights(explained[:, :many].sum(axis=1) + belief),
                )
                for many in shown
            ]
        )
        for name, belief in (("one in ten weeks", 0.0), (f"{centre.value:g} a week", other_belief))
    }
    with figure("Two owners, the same customers", "mean purchases a week: median and middle 90%", 2.8) as (
        _drawn,
        _axes,
    ):
        for _colour, _shift, (_name, _ends) in zip(COLOURS, (0.96, 1.04), apart.items(), strict=False):
            _at = np.array(shown) * _shift
            _axes.vlines(_at, _ends[:, 0], _ends[:, 2], color=_colour)
            _axes.plot(_at, _ends[:, 1], "o", color=_colour, label=_name)
        _axes.axhline(TRUE_RATE, color="#1f2933", linestyle=":")
        _axes.set(xscale="log", xlabel="customers seen", ylim=(0, 0.6))
        _axes.set_xticks(shown, [str(each) for each in shown])
        _axes.legend(loc="upper right")
    first_owner, second_owner = apart.values()
    hidden(
        "Show the two",
        picture(
            _drawn, "Intervals of two owners with different priors approach each other as customers are seen"
        ),
        f"After 1 customer {first_owner[0, 1]:.2f} and {second_owner[0, 1]:.2f}; after 10 "
        f"{first_owner[3, 1]:.2f} and {second_owner[3, 1]:.2f}; after 100 {first_owner[-1, 1]:.3f} and "
        f"{second_owner[-1, 1]:.3f}. The customers win. With few of them what you believed before is "
        "part of the result: say it, and show what another belief would give "
        "(`clv.inference.prior_sensitivity`).",
        "> **Say in the meeting:** With ten customers a part of this number is our opinion; with a "
        "hundred it is theirs.",
    )
    return apart, first_owner, second_owner


@app.cell
def _():
    now_week = mo.ui.slider(
        steps=[0, 4, 8, 13, 20, 26, 32, 39, 52],
        value=39,
        label="Weeks since the first purchase",
        show_value=True,
    )
    guess_alive = mo.ui.slider(
        0, 100, step=5, value=50, label="Your guess of P(alive) in week 39, in %", show_value=True
    )
    mo.vstack(
        [
            text("""
            ## 3. One customer, week by week

            Now the population is known, and one new customer is not. She buys in week 0, and again in
            weeks 3, 7 and 12. Then nothing more is heard.

            **Guess first:** draw what you think of her rhythm in week 4, 13 and 39. After 39 weeks, 27
            of them silent: is she a slow buyer, or gone?
            """),
            guess_alive,
            now_week,
        ]
    )
    return guess_alive, now_week


@app.cell
def _(guess_alive, now_week):
    bought = np.array([3.0, 7.0, 12.0])

    def history(week):
        past = bought[bought <= week]
        last = past[-1] if past.size else 0.0
        return pd.DataFrame({"frequency": [past.size], "recency": [last], "T": [float(week)]})

    _many = {name: np.full(20_000, value) for name, value in by_hand.BUYING.items()}
    told = {}
    for _week in sorted({4, 13, 39, now_week.value}):
        _alive, _rate, _ = by_hand.rates(history(_week), 2, _many)
        told[_week] = float(by_hand.alive(history(_week))[0, 0]), _rate[0], _alive[0]
    with figure(
        "What we believe of her", "her own rate, purchases a week, whether or not she is still there", 2.8
    ) as (_drawn, _axes):
        for _colour, _week in zip(COLOURS, told, strict=False):
            _axes.hist(
                told[_week][1],
                bins=np.linspace(0, 0.8, 81),
                weights=np.full(20_000, 1 / 20_000),
                histtype="step",
                linewidth=2.4 if _week == now_week.value else 1.2,
                color=_colour,
                label=f"week {_week}: P(alive) {told[_week][0]:.0%}",
            )
        _axes.set(xlabel="purchases a week")
        percent(_axes.yaxis)
        _axes.legend(loc="upper right")
    there_now, _rate, _here = told[now_week.value]
    if_there = float(_rate[_here == 1].mean())
    if_gone = float(_rate[_here == 0].mean()) if (_here == 0).any() else float("nan")
    hidden(
        "Show what the weeks did",
        picture(_drawn, "Distributions of the customer's own purchase rate after 4, 13 and 39 weeks"),
        f"In week {now_week.value} she is still there with **{there_now:.0%}** (you guessed "
        f"{guess_alive.value}% for week 39). If she is, her rate is about {if_there:.2f} a week"
        + (f"; if she has left, it was about {if_gone:.2f}." if np.isfinite(if_gone) else "."),
        "Two stories explain the same silence: a slow buyer who is there, and a faster one who has "
        "left. The posterior does not choose; it keeps both, in proportion. That is why the curve of "
        "week 39 is a mixture, and why a single best guess of her rate would describe neither.",
        f"> **Say in the meeting:** In week {now_week.value} we would still bet {there_now:.0%} on her; "
        f"and if she is there, she buys about every {1 / if_there:.0f} weeks.",
    )
    return history, if_gone, if_there, there_now, told


@app.cell
def _(history):
    _week_12 = float(by_hand.alive(history(12))[0, 0])
    _week_13 = float(by_hand.alive(history(13))[0, 0])
    mo.vstack(
        [
            text("## Exercises"),
            text("**A.** In week 12 she has just bought. Is P(alive) 100%?"),
            hidden(
                "Answer A",
                f"No: {_week_12:.0%}, and {_week_13:.0%} a week later. In this model a customer may "
                "leave right after any purchase, this one included.",
            ),
            text("**B.** Section 1 with 0 customers: what is the blue line, and why?"),
            hidden(
                "Answer B",
                "The grey one. Without data every draw weighs the same: the posterior is the prior.",
            ),
            text("**C.** Why do ten customers say so little about the share who leave?"),
            hidden(
                "Answer C",
                "Nobody is seen leaving. A silence of one who buys rarely looks the same as a "
                "farewell, and only frequent buyers tell them apart; among ten there are one or two.",
            ),
            text(
                "**D.** Somebody takes the posterior of the ten as prior and then sees the next ten. "
                "And if all twenty come at once?"
            ),
            hidden(
                "Answer D",
                "The same: likelihoods multiply, so that the order does not matter. (Try it: weights "
                "of 20 are the product of both.)",
            ),
        ]
    )
    return


if __name__ == "__main__":
    app.run()
