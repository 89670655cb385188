"""Lesson 4: customers who change and Christmas: what moves everybody, and what moves one."""

import marimo

app = marimo.App(app_title="Lesson 4: customers who change, and Christmas")

with app.setup:
    import marimo as mo
    import pandas as pd

    from studies.lessons import by_hand, moving
    from studies.lessons.pieces import COLOURS, figure, hidden, picture, text


@app.cell
def _():
    text("""
    # Lesson 4: customers who change, and Christmas

    *About 45 minutes. You need: lesson 3.*

    The models of the first lessons believe two things: a customer's rhythm is for ever, and customers
    have nothing to do with each other. The second makes totals too sure, the first makes single
    customers too sure. This lesson breaks one after the other, with a real wholesaler first (Online
    Retail, gifts, 2010 and 2011).
    """)
    return


@app.cell
def _():
    guess_total = mo.ui.slider(
        2000, 6000, step=100, value=3300, label="Your guess: purchases of the 13 weeks", show_value=True
    )
    season = mo.ui.slider(
        -20, 60, step=5, value=0, label="Everybody buys so much more from September on, %", show_value=True
    )
    _weeks = pd.read_csv(moving.WEEKS)
    _seen = _weeks.iloc[:-2]
    _before = _seen[_seen["week"] <= moving.UNTIL]
    with figure("A wholesaler of gifts", "repeat purchases a week, to 9 September 2011", 2.6) as (
        _drawn,
        _axes,
    ):
        _axes.plot(range(len(_before)), _before["made"], color=COLOURS[0])
        _axes.set(xlabel="weeks since December 2010", ylim=(0, None), xlim=(0, len(_seen)))
    mo.vstack(
        [
            text(
                "## 1. Thirteen weeks to Christmas\n\nThis is what its customers bought, week by week, "
                "until the day of the forecast."
            ),
            picture(_drawn, "Weekly repeat purchases of the wholesaler until September 2011, rising slowly"),
            text(f"""
**Guess first:** the model without a calendar forecasts {_weeks.iloc[-1]["static_low"]:,.0f} to
{_weeks.iloc[-1]["static_high"]:,.0f} purchases for the next 13 weeks (90%). How many will it really be?
The customers sell gifts.
            """),
            guess_total,
            season,
        ]
    )
    return guess_total, season


@app.cell
def _(guess_total, season):
    table = pd.read_csv(moving.WEEKS)
    # The last week has three days only.
    totals, by_week = table.iloc[-1], table.iloc[:-2].reset_index(drop=True)
    ahead = by_week[by_week["week"] > moving.UNTIL]
    raised = 1 + season.value / 100
    needed = float(totals["made"] / totals["static_middle"] - 1)
    with figure(
        "Thirteen weeks to Christmas", "repeat purchases a week: bands of 90%, and what came", 3.0
    ) as (_drawn, _axes):
        _axes.fill_between(
            by_week.index,
            by_week["calendar_low"],
            by_week["calendar_high"],
            color=COLOURS[4],
            alpha=0.3,
            label="with a calendar",
        )
        _axes.fill_between(
            by_week.index,
            by_week["static_low"],
            by_week["static_high"],
            color=COLOURS[0],
            alpha=0.45,
            label="without",
        )
        _axes.plot(
            ahead.index,
            ahead["static_middle"] * raised,
            color=COLOURS[0],
            linestyle=":",
            label=f"without, {season.value:+}%",
        )
        _axes.plot(by_week.index, by_week["made"], color="#1f2933", label="what came")
        _axes.axvline(ahead.index[0], color="#5b6770", linestyle=":")
        _axes.set(xlabel="weeks since December 2010", ylim=(0, None))
        _axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    weeks_inside = {
        name: int(ahead["made"].between(ahead[f"{name}_low"], ahead[f"{name}_high"]).sum())
        for name in ("static", "calendar")
    }
    hidden(
        "Show Christmas",
        picture(
            _drawn,
            "Weekly purchases with the bands of both models; autumn lies far above the band without a "
            "calendar",
        ),
        f"It was **{totals['made']:,.0f}** (you guessed {guess_total.value:,}). Without a calendar "
        f"{totals['static_low']:,.0f} to {totals['static_high']:,.0f} was promised, and "
        f"{weeks_inside['static']} of {len(ahead)} weeks lie in the band; with one "
        f"{totals['calendar_low']:,.0f} to {totals['calendar_high']:,.0f}, and "
        f"{weeks_inside['calendar']}.",
        "The first interval is so narrow because the errors of thousands of *independent* customers "
        "average out. Christmas does not average out: it moves all of them at once. A calendar knows "
        "from the past weeks how much everybody moves together, and says so, by a wide interval. It "
        "does not know that Christmas comes: the one at the very beginning was among the shop's first "
        f"weeks. You do: the slider is your knowledge. {needed:+.0%} would have been right.",
        "> **Say in the meeting:** Our total is as unsure as the market, not as the customers; and "
        "Christmas we must put in ourselves until we have seen two of them.",
    )
    return ahead, by_week, needed, totals, weeks_inside


@app.cell
def _():
    half_life = mo.ui.slider(
        steps=list(moving.HALF_LIVES), value=26, label="Half-life of a rhythm, in weeks", show_value=True
    )
    mo.vstack(
        [
            text("""
            ## 2. Two customers whom the model cannot tell apart

            Both have bought 8 times again in a year, both the last time 3 weeks ago. To the models so
            far they are the same person.

            | | in the weeks |
            |---|---|
            | **Stella**, steady | 6, 12, 18, 24, 30, 36, 42, 49 |
            | **Sven**, slowing | 2, 4, 6, 8, 10, 12, 14, 49 |

            **Guess first:** who will buy more in the next 26 weeks, and by how much?
            """),
            half_life,
        ]
    )
    return (half_life,)


@app.cell
def _(half_life):
    changing = pd.read_csv(moving.CUSTOMERS)
    stella, sven = (
        changing[changing["customer"] == each].set_index("half_life") for each in ("steady", "slowing")
    )
    alike = float(
        by_hand.purchases(pd.DataFrame({"frequency": [8], "recency": [49.0], "T": [52.0]}), moving.AHEAD)[
            0, 0
        ]
    )
    with figure(
        "Two customers", "expected purchases of 26 weeks, by how long a rhythm is remembered", 2.8
    ) as (_drawn, _axes):
        _axes.plot(stella.index, stella["purchases"], marker="o", label="Stella, steady")
        _axes.plot(sven.index, sven["purchases"], marker="o", label="Sven, slowing")
        _axes.axhline(alike, color="#5b6770", linestyle=":", label="a rhythm for ever")
        _axes.axvline(half_life.value, color="#1f2933", linestyle=":")
        _axes.set(xscale="log", xlabel="half-life of a rhythm, weeks", ylim=(0, None))
        _axes.set_xticks(moving.HALF_LIVES, [f"{each:,}" for each in moving.HALF_LIVES])
        _axes.minorticks_off()
        _axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    chosen_stella, chosen_sven = (float(each.loc[half_life.value, "purchases"]) for each in (stella, sven))
    hidden(
        "Show the two",
        picture(
            _drawn, "Expected purchases of Stella and Sven against the half-life, equal where it is very long"
        ),
        f"If a rhythm were for ever, {alike:.2f} of both. If half of what sets a customer apart is "
        f"forgotten in {half_life.value:,} weeks: Stella **{chosen_stella:.2f}**, Sven "
        f"**{chosen_sven:.2f}**.",
        "The model with drift (`clv.fit(..., drift=True)`) reads the times of all purchases, not only "
        "how many and the last. It learns the half-life from everybody. On the households of The "
        "Complete Journey, who buy groceries, it is two to four years; 90% intervals then hold 87 to 92 of a "
        "hundred households, and without drift 75 to 82. On CDNOW it is so long that nothing drifts "
        "(`studies/moving_customers.py`).",
        "Look at the left end, too: where rhythms are forgotten in 8 weeks, everybody returns to the "
        "average, and the two come together again.",
        "> **Say in the meeting:** Two customers with the same totals are not the same: we expect "
        f"{chosen_stella:.1f} purchases of the steady one and {chosen_sven:.1f} of the one who has "
        "slowed down.",
    )
    return alike, chosen_stella, chosen_sven, stella, sven


@app.cell
def _():
    text("""
    ## 3. Who is gone comes back

    In the models so far, gone is gone. Holdouts disagree. In the demo of this package 14 customers of
    CDNOW had a chance of less than 3% to buy again; **8 of them did** (`docs/families.md`). The
    probabilities of the quietest customers are the least to be trusted, and win-back lives of exactly
    these.

    A third extension (`returns=True`) lets customers sleep and wake instead of leaving for ever. It
    needs long histories: in one year nobody can be seen to come back after two.
    """)
    return


@app.cell
def _(stella, totals, weeks_inside):
    wider = float(
        (totals["calendar_high"] - totals["calendar_low"]) / (totals["static_high"] - totals["static_low"])
    )
    mo.vstack(
        [
            text("## Exercises"),
            text(
                "**A.** By what factor is the interval with a calendar wider? What would you answer to "
                "“so it is worse”?"
            ),
            hidden(
                "Answer A",
                f"{wider:.1f} times. An interval is not good because it is narrow, but because it holds "
                "what it promises, and is narrow only then.",
            ),
            text(
                "**B.** Your shop has two years of data. Which of the two, calendar or season, becomes "
                "learnable?"
            ),
            hidden(
                "Answer B",
                "The season: two Christmases can be told from a level that happens to rise "
                "(`clv.inference.Calendar(season=2)`, `docs/calendar.md`). With one year it remains "
                "your knowledge.",
            ),
            text("**C.** Would more customers have saved the model without a calendar? And more weeks?"),
            hidden(
                "Answer C",
                "More customers make its interval narrower around the same wrong place. More weeks "
                "help a model that has a place to learn from them.",
            ),
            text(
                "**D.** With which half-life do Stella and Sven differ most, and why is it neither the "
                "shortest nor the longest?"
            ),
            hidden(
                "Answer D",
                "At about a year: short enough that Sven's spring is half "
                "forgotten, long enough that Stella's steadiness still counts.",
            ),
        ]
    )
    return (wider,)


if __name__ == "__main__":
    app.run()
