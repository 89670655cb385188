"""Lesson 6: scenarios and regret: differences in pairs, what a wrong choice costs, and what a test is worth."""

import marimo

app = marimo.App(app_title="Lesson 6: scenarios and regret")

with app.setup:
    import marimo as mo
    import numpy as np

    from studies.lessons import by_hand, draws
    from studies.lessons.pieces import COLOURS, figure, hidden, money, percent, picture, text

    BUYING, SPENDING = draws.load()
    MARGIN, WEEKS = 0.3, 52
    # A shop of 500 customers: so many like each of the three of lesson 0.
    SHOP = {"Anna": 200, "Ben": 200, "Clara": 100}


@app.cell
def _():
    text("""
    # Lesson 6: scenarios and regret

    *About 60 minutes. You need: lesson 3.*

    A shop has 500 customers: 200 like Anna, 200 like Ben and 100 like Clara of lesson 0. The margin is
    30% of the price. Next year it may leave everything as it is, or raise all prices by 5%. If prices
    rise, customers buy less often; by how much, nobody knows exactly.
    """)
    return


@app.cell
def _():
    # One outcome of the year in each of 400 draws: what the shop's customers will have bought and spent.
    _rng = np.random.default_rng(6)
    sales = np.zeros(BUYING["r"].size)
    for _name, _many in SHOP.items():
        _one = by_hand.THREE.loc[[_name]]
        _chances = by_hand.chances(_one, WEEKS, 60, BUYING)[:, 0, :]
        _bought = np.array(
            [_rng.multinomial(_many, each / each.sum()) @ np.arange(61) for each in _chances.T]
        )
        sales += _bought * by_hand.spend(_one, SPENDING)[0]
    effect_noise = _rng.standard_normal(sales.size)
    return effect_noise, sales


@app.cell
def _():
    elasticity = mo.ui.slider(
        -4, 0, step=0.25, value=-2, label="Purchases change, in % for 1% of price", show_value=True
    )
    doubt = mo.ui.slider(0, 3, step=0.25, value=1, label="How unsure (standard deviation)", show_value=True)
    guess_better = mo.ui.slider(
        0, 100, step=5, value=50, label="Your guess: probability that raising is better, %", show_value=True
    )
    mo.vstack(
        [
            text("""
            ## 1. Two intervals that overlap

            Say that one percent of price costs 2% of the purchases, give or take 1%. (These two numbers
            are *assumed*. No order log with one price in it can say them.)

            **Guess first:** how probable is it that raising prices earns more?
            """),
            guess_better,
            elasticity,
            doubt,
        ]
    )
    return doubt, elasticity, guess_better


@app.cell
def _(doubt, effect_noise, elasticity, guess_better, sales):
    RISE = 0.05
    effect = elasticity.value + doubt.value * effect_noise
    kept = MARGIN * sales
    # The price rises, the cost does not: the margin of a purchase grows from 30% of the old price to 35%.
    raised = (MARGIN + RISE) * sales * np.clip(1 + RISE * effect, 0, None)
    difference = raised - kept
    better = float((difference > 0).mean())
    kept_ends, raised_ends, difference_ends = (
        np.quantile(each, (0.05, 0.95)) for each in (kept, raised, difference)
    )
    with figure(
        "The same futures, twice", "margin of the year, $; each dot is one possible year", 3.2, panels=2
    ) as (_drawn, _axes):
        _axes[0].plot(kept, raised, ".", alpha=0.5, markersize=4)
        _low, _high = min(kept.min(), raised.min()), max(kept.max(), raised.max())
        _axes[0].plot([_low, _high], [_low, _high], color="#1f2933", linestyle=":")
        _axes[0].set(xlabel="prices as they are", ylabel="prices raised")
        _axes[1].hist(
            difference, bins=40, weights=np.full(difference.size, 1 / difference.size), color=COLOURS[2]
        )
        _axes[1].axvline(0, color="#1f2933", linestyle=":")
        _axes[1].set(xlabel="raised less as they are")
        percent(_axes[1].yaxis)
    hidden(
        "Show the pairs",
        picture(
            _drawn,
            "Margin with raised prices against margin as it is, one dot a future, and the histogram of "
            "differences",
        ),
        f"As it is: {money(kept_ends[0])} to {money(kept_ends[1])}. Raised: {money(raised_ends[0])} to "
        f"{money(raised_ends[1])}. The intervals overlap nearly everywhere, and a colleague says: “no "
        "difference”. But the same customers, in the same year, are in both. *In pairs* the difference "
        f"is {money(difference_ends[0])} to {money(difference_ends[1])}, and raising is better with "
        f"**{better:.0%}** (you guessed {guess_better.value}%).",
        "Never compare two scenarios by their intervals. Compare them future by future "
        "(`clv.valuation.compare_scenarios`).",
        "> **Say in the meeting:** If our assumption about the purchases holds, a rise by 5% is better "
        f"with {better:.0%}, and brings {money(difference.mean())} on average.",
    )
    return better, difference, difference_ends, effect, kept, raised


@app.cell
def _():
    fixed = mo.ui.slider(
        0, 1500, step=100, value=300, label="Cost of changing all prices, $", show_value=True
    )
    mo.vstack(
        [
            text("""
            ## 2. Regret

            New price lists cost something too. “Better with 80%” is not yet a reason: it matters how
            much is lost in the other 20%. *Regret* is what you would have earned more, had you known. Of
            each choice we ask for its expected regret.

            **Guess first:** can it be right to do what is probably the worse?
            """),
            fixed,
        ]
    )
    return (fixed,)


@app.cell
def _(difference, fixed):
    gain = difference - fixed.value
    regret_of_keeping = float(np.maximum(gain, 0).mean())
    regret_of_raising = float(np.maximum(-gain, 0).mean())
    pays = float((gain > 0).mean())
    choice = "raise" if gain.mean() > 0 else "keep"
    with figure("Regret", "expected loss against having known, $", 1.6) as (_drawn, _axes):
        _axes.barh(
            ["keep the prices", "raise them"], [regret_of_keeping, regret_of_raising], color=COLOURS[:2]
        )
        _axes.invert_yaxis()
        _axes.grid(visible=False, axis="y")
    least = min(regret_of_keeping, regret_of_raising)
    hidden(
        "Show the regret",
        picture(_drawn, "Bars of the expected regret of keeping and of raising prices"),
        f"Keeping: {money(regret_of_keeping)}. Raising: {money(regret_of_raising)}. So the choice is to "
        f"**{choice}**; raising pays with {pays:.0%}. The two regrets differ by exactly the "
        f"expected gain, {money(gain.mean())}: least expected regret and most expected gain are the "
        "same choice. What regret adds is its size: it says what is at stake, and what it would be "
        "worth to know more.",
        "And yes: the probably worse can be right, where the gain is large in few futures and the loss "
        "small in many. A ticket for $1 that wins $20 with one chance in ten loses nine times in ten, "
        "and is a good buy.",
        f"> **Say in the meeting:** We {choice}; against having known, that costs us "
        f"{money(least)} on average.",
    )
    return choice, gain, pays, regret_of_keeping, regret_of_raising


@app.cell
def _():
    test_cost = mo.ui.slider(0, 500, step=25, value=100, label="Cost of a test, $", show_value=True)
    mo.vstack(
        [
            text("""
            ## 3. What may a test cost?

            Before deciding, the shop could try the new prices on some customers for a quarter.

            **Guess first:** what is the most that such a test may cost, if it told the truth about the
            purchases exactly?
            """),
            test_cost,
        ]
    )
    return (test_cost,)


@app.cell
def _(effect, gain, test_cost):
    least_regret = float(min(np.maximum(gain, 0).mean(), np.maximum(-gain, 0).mean()))
    # A test tells the effect, not the year's luck: within a tenth of the draws of alike effect the gain is averaged.
    _order = np.argsort(effect)
    by_effect = np.array([gain[each].mean() for each in np.array_split(_order, 20)])
    of_the_test = float(np.maximum(by_effect, 0).mean() - max(gain.mean(), 0))
    with figure(
        "What knowing is worth", "expected gain of raising, given the effect that a test would show, $", 2.6
    ) as (_drawn, _axes):
        _centres = [effect[each].mean() for each in np.array_split(_order, 20)]
        _axes.plot(_centres, by_effect, marker="o")
        _axes.axhline(0, color="#1f2933", linestyle=":")
        _axes.set(xlabel="purchases change by so many % for 1% of price")
    verdict = "worth it" if of_the_test > test_cost.value else "not worth it"
    hidden(
        "Show what it is worth",
        picture(_drawn, "Expected gain of raising prices against the effect on purchases, crossing zero"),
        f"Knowing everything, the year's luck too, would be worth {money(least_regret)}: the regret of "
        f"the best choice. Knowing the effect alone is worth {money(of_the_test)}, because then one "
        "raises where the line is above zero and keeps where it is below. A perfect test for "
        f"${test_cost.value} is **{verdict}**, a real one less.",
        "Set the doubt of section 1 to 0: knowing is worth nothing, for nothing is left to know. And "
        "where one choice is best whatever the effect, knowing is worth nothing either, however unsure "
        "we are.",
        f"> **Say in the meeting:** A test of the prices may cost at most {money(of_the_test)}.",
    )
    return by_effect, least_regret, of_the_test, verdict


@app.cell
def _(kept, raised):
    unpaired = float((np.random.default_rng(0).permutation(raised) > kept).mean())
    mo.vstack(
        [
            text("## Exercises"),
            text(
                "**A.** Somebody draws the two scenarios with different random numbers and compares. "
                "What probability comes out?"
            ),
            hidden(
                "Answer A",
                f"{unpaired:.0%}, instead of {float((raised > kept).mean()):.0%}: the luck of two "
                "different years is added to the difference and drowns it.",
            ),
            text(
                "**B.** At which effect does a rise of 5% exactly not matter, without the cost of "
                "price lists? By hand."
            ),
            hidden(
                "Answer B",
                f"0.35 × (1 + 0.05 e) = 0.30, so e = {(0.30 / 0.35 - 1) / 0.05:.2f}: purchases may fall "
                "by almost 3% for each percent. The thinner the margin, the more may be lost.",
            ),
            text("**C.** Where do −2 and ±1 come from, and what does that make of the result?"),
            hidden(
                "Answer C",
                "From us. The 400 draws know the customers, not the effect of a price that was never "
                "asked. So the report must state both numbers beside the result; and a test, not more "
                "orders, improves them.",
            ),
            text(
                "**D.** The owner cannot bear a loss of more than $500. Which choice does expected "
                "regret not see?"
            ),
            hidden(
                "Answer D",
                "It adds up losses and gains as if a dollar were always a dollar. Where a loss ruins, "
                "look at the lower end of the differences, or weigh losses more before averaging.",
            ),
        ]
    )
    return (unpaired,)


if __name__ == "__main__":
    app.run()
