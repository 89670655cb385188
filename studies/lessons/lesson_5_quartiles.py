"""Lesson 5: segments by quartile lie: who moves though nobody changes, and who is in the top quarter for sure."""

import marimo

app = marimo.App(app_title="Lesson 5: segments by quartile lie")

with app.setup:
    import marimo as mo
    import numpy as np

    from studies.lessons import by_hand
    from studies.lessons.pieces import COLOURS, figure, hidden, percent, picture, text

    CUSTOMERS = 1000
    QUARTERS = ["lowest", "second", "third", "highest"]


@app.function
def quarter(amounts):
    """Return the quarter, 0 to 3, of each amount; ties are broken by place in the list, as a spreadsheet does."""
    places = np.empty(len(amounts), dtype=int)
    places[np.argsort(amounts, kind="stable")] = np.arange(len(amounts))
    return places * 4 // len(amounts)


@app.cell
def _():
    text("""
    # Lesson 5: segments by quartile lie

    *About 45 minutes. You need: lesson 3.*

    Every marketing department sorts its customers into quarters: by purchases, by spend, by recency. The
    label is then treated like a fact about the person. This lesson makes customers whose truth we know,
    sorts them, and looks at what the labels are worth.
    """)
    return


@app.cell
def _():
    watched = mo.ui.slider(
        steps=[13, 26, 52, 104, 208], value=52, label="Weeks watched, each of two times", show_value=True
    )
    guess_stay = mo.ui.slider(
        0, 100, step=5, value=80, label="Your guess: still in the top quarter, %", show_value=True
    )
    mo.vstack(
        [
            text("""
            ## 1. Nobody changes, and yet they move

            A thousand customers. Each has a rhythm of its own that *never changes*, nobody ever leaves,
            nothing happens in the market. Sort them into quarters by their purchases of one year, and
            again by those of the next.

            **Guess first:** of those in the top quarter of the first year, how many in a hundred are in
            the top quarter of the second?
            """),
            guess_stay,
            watched,
        ]
    )
    return guess_stay, watched


@app.cell
def _(guess_stay, watched):
    _rng = np.random.default_rng(7)
    own_rate = _rng.gamma(by_hand.BUYING["r"], 1 / by_hand.BUYING["alpha"], CUSTOMERS)
    first_year, second_year = _rng.poisson(own_rate * watched.value, (2, CUSTOMERS))
    moved = np.zeros((4, 4))
    np.add.at(moved, (quarter(first_year), quarter(second_year)), 4 / CUSTOMERS)
    stay = float(moved[3, 3])
    top = quarter(first_year) == 3
    top_change = float(second_year[top].mean() / first_year[top].mean() - 1)
    low_half = quarter(first_year) < 2
    low_before, low_after = float(first_year[low_half].mean()), float(second_year[low_half].mean())
    with figure(
        "Nobody changes", f"where each quarter of the first {watched.value} weeks is in the next", 2.6
    ) as (_drawn, _axes):
        _left = np.zeros(4)
        for _to in range(4):
            _axes.barh(
                QUARTERS, moved[:, _to], left=_left, label=QUARTERS[_to], color=COLOURS[(0, 5, 4, 1)[_to]]
            )
            _left += moved[:, _to]
        _axes.legend(title="next", loc="upper left", bbox_to_anchor=(1, 1))
        _axes.grid(visible=False, axis="y")
        percent(_axes.xaxis)
    hidden(
        "Show who moved",
        picture(_drawn, "For each quarter of the first year, the shares in each quarter of the second"),
        f"**{stay:.0%}** of the top quarter are still there (you guessed {guess_stay.value}%). The "
        "others did not change: they had been lucky.",
        f"And look at what a report would say: “our top customers buy {abs(top_change):.0%} "
        f"{'less' if top_change < 0 else 'more'} than last year”, and “our lower half bought "
        f"{low_before:.2f} times a head, after our campaign {low_after:.2f} times”. There was no "
        "campaign. Whoever is chosen for a low number has a higher one next time: regression to the "
        "mean. Without a group that is left alone every campaign for the lowest looks good.",
        f"> **Say in the meeting:** In {watched.value} weeks, {1 - stay:.0%} of our top quarter would "
        "move down even if nobody changed at all.",
    )
    return low_after, low_before, moved, own_rate, stay, top_change


@app.cell
def _():
    base = by_hand.simulated(CUSTOMERS, 52, seed=9)
    _draws = 400
    _many = {name: np.full(_draws, value) for name, value in by_hand.BUYING.items()}
    _, possible_rates, possible_years = by_hand.futures(base, 52, 3, _many)
    _, _, what_came = by_hand.futures(base, 52, 4)
    came = what_came[:, 0]
    label = quarter(base["frequency"] + base["recency"] / 1e4)
    # In every draw the customers are sorted anew, by what each will buy next year in that draw.
    _luck = np.random.default_rng(5).uniform(0, 1e-6, possible_years.shape)
    in_top = np.mean(
        np.argsort(np.argsort(possible_years + possible_rates * 1e-3 + _luck, axis=0), axis=0)
        >= 0.75 * CUSTOMERS,
        axis=1,
    )
    return base, came, in_top, label, possible_years


@app.cell
def _():
    sure = mo.ui.slider(50, 95, step=5, value=80, label="“Sure” means at least, %", show_value=True)
    mo.vstack(
        [
            text("""
            ## 2. In the top quarter for sure?

            Now a shop like the real one: customers leave silently, and we have seen one year of each.
            The department labels the top quarter by past purchases (of equally many, the later ones). We
            ask of each customer: *in how many of 400 possible next years are you among the best quarter?*

            **Guess first:** of the 250 who are labelled “top”, how many will with at least 80% be among
            the best quarter of next year?
            """),
            sure,
        ]
    )
    return (sure,)


@app.cell
def _(came, in_top, label, sure):
    labelled = label == 3
    sure_ones = int((in_top[labelled] >= sure.value / 100).sum())
    outside = int((in_top[~labelled] >= 0.25).sum())
    really = float((quarter(came)[labelled] == 3).mean())
    with figure("For sure?", "customers by the probability to be in next year's best quarter", 2.6) as (
        _drawn,
        _axes,
    ):
        _axes.hist(
            [in_top[~labelled], in_top[labelled]],
            bins=np.linspace(0, 1, 21),
            stacked=True,
            color=[COLOURS[5], COLOURS[1]],
            label=["others", "labelled “top”"],
        )
        _axes.axvline(sure.value / 100, color="#1f2933", linestyle=":")
        _axes.set(xlabel="probability to be in the best quarter", ylabel="customers")
        percent(_axes.xaxis)
        _axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    hidden(
        "Show how sure",
        picture(
            _drawn, "Histogram of the probability to be in the best quarter, those labelled top coloured"
        ),
        f"**{sure_ones}** of 250. And {outside} of the 750 others have at least one chance in four, as "
        f"much as anybody chosen by lot. When the year was over, {really:.0%} of those labelled were in "
        "the best quarter.",
        "The label says “top” of all 250 alike. The probability says of whom you know it.",
        f"> **Say in the meeting:** Of the 250 customers whom we call top, we are {sure.value}% sure of "
        f"{sure_ones}.",
    )
    return labelled, outside, really, sure_ones


@app.cell
def _():
    gift = mo.ui.slider(1, 30, step=1, value=15, label="Cost of the service per customer, $", show_value=True)
    mo.vstack(
        [
            text("""
            ## 3. What the label costs

            A personal service is offered to some customers at a cost a head and year, and earns the 30%
            margin of what they buy (about $10.60 a purchase). The department offers it to the top
            quarter. You offer it to everybody whose *expected* margin is above the cost.

            **Guess first:** who earns more in the year that then comes, and by how much?
            """),
            gift,
        ]
    )
    return (gift,)


@app.cell
def _(came, gift, labelled, possible_years):
    a_purchase = 0.3 * float(by_hand.spend(by_hand.NEW)[0, 0])
    chosen = possible_years.mean(axis=1) * a_purchase > gift.value
    by_label = float((came[labelled] * a_purchase - gift.value).sum())
    by_expectation = float((came[chosen] * a_purchase - gift.value).sum())
    with figure("What the label costs", "earned in the year that came, $, cost deducted", 1.7) as (
        _drawn,
        _axes,
    ):
        _axes.barh(
            [f"the top quarter ({labelled.sum()})", f"expected margin above cost ({chosen.sum()})"],
            [by_label, by_expectation],
            color=COLOURS[1::-1],
        )
        _axes.invert_yaxis()
        _axes.grid(visible=False, axis="y")
    hidden(
        "Show who earned more",
        picture(
            _drawn, "Bars of what was earned by offering to the top quarter and to those expected to pay"
        ),
        f"By label ${by_label:,.0f}, by expectation ${by_expectation:,.0f}. A quarter is a quarter "
        "whatever the service costs; the expectation asks of each whether *this* cost pays. (One year "
        "of one simulated shop: move the cost and see where the two come near each other, and where "
        "luck turns them round.)",
        f"> **Say in the meeting:** At ${gift.value} a head we should offer it to {chosen.sum()} "
        "customers, and not to 250 because 250 is a quarter.",
    )
    return a_purchase, by_expectation, by_label, chosen


@app.cell
def _(base):
    once = int((base["frequency"] == 0).sum())
    mo.vstack(
        [
            text("## Exercises"),
            text(
                f"**A.** {once} of the 1,000 customers never bought again. What do quartiles by "
                "frequency make of them?"
            ),
            hidden(
                "Answer A",
                f"The two lowest quarters are 500 people, so {max(once - 500, 0)} with no repeat "
                "purchase stand in the third or above, by nothing but their place in the list. Equal "
                "customers get unequal labels.",
            ),
            text("**B.** In section 1, watch four years instead of one. Does the shuffling end?"),
            hidden(
                "Answer B",
                "It becomes less: the count says more of the rhythm. It does not end, and no real "
                "customer keeps one rhythm for eight years (lesson 4).",
            ),
            text(
                "**C.** “After our win-back letter the lowest quarter bought 30% more.” Which number "
                "do you ask for?"
            ),
            hidden(
                "Answer C", "By how much those of the lowest quarter rose who got no letter, chosen by lot."
            ),
            text("**D.** When is a quartile harmless?"),
            hidden(
                "Answer D",
                "As a description of the past: “a quarter of the customers made 70% of last year's "
                "sales” is a fact. It becomes a lie as a statement about a person, or about next year.",
            ),
        ]
    )
    return (once,)


if __name__ == "__main__":
    app.run()
