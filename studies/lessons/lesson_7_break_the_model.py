"""Lesson 7: break the model: worlds whose truth is known are fitted, and each truth should lie inside."""

import marimo

app = marimo.App(app_title="Lesson 7: break the model")

with app.setup:
    import marimo as mo
    import numpy as np

    from studies.lessons import worlds
    from studies.lessons.pieces import COLOURS, figure, hidden, picture, text

    FITTED = worlds.load()
    KINDS = list(worlds.WORLDS)
    BASES = int(FITTED.groupby("world").size().min())


@app.function
def drawn_intervals(table, name, title, note, label):
    """Draw the interval of each base, those that miss the truth in another colour, with the truth as a dot."""
    table = table.dropna(subset=f"{name}_truth").reset_index(drop=True)
    held = worlds.inside(table, name)
    with figure(title, note, 2.8) as (drawn, axes):
        for hit, colour, said in ((True, COLOURS[0], "holds the truth"), (False, COLOURS[1], "misses it")):
            part = table[held == hit]
            axes.vlines(
                part.index + 1,
                part[f"{name}_low"],
                part[f"{name}_high"],
                color=colour,
                linewidth=3,
                label=said,
            )
        axes.plot(table.index + 1, table[f"{name}_truth"], "o", color="#1f2933", markersize=4, label="truth")
        axes.set(xlabel="base", ylabel=label, ylim=(0, None), xticks=range(0, len(table) + 1, 5))
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return drawn, int(held.sum())


@app.cell
def _():
    text(f"""
    # Lesson 7: break the model

    *About 60 minutes. You need: lesson 3; lesson 2 helps.*

    How do you know that a model says the truth? In the real world you never see the truth. So make a
    world, hide its truth, fit the model, and look whether the truth is inside. Then break an assumption
    and do it again.

    A script has done it for you (`studies/lessons/worlds.py`, some minutes): five worlds, {BASES} bases
    of 800 customers each, watched for a year; MBG/NBD is fitted to each, and forecasts the 26 weeks that
    then come.
    """)
    return


@app.cell
def _():
    guess_held = mo.ui.slider(
        0, BASES, value=BASES, label=f"Your guess: intervals of {BASES} that hold the truth", show_value=True
    )
    mo.vstack(
        [
            text(f"""
            ## 1. The world is as the model assumes

            The customers are made by MBG/NBD itself. Every base has its own 90% interval of the mean
            purchase rate.

            **Guess first:** of the {BASES} intervals, how many hold the true rate? And would {BASES} of
            {BASES} be better than 18?
            """),
            guess_held,
        ]
    )
    return (guess_held,)


@app.cell
def _(guess_held):
    assumed = FITTED[FITTED["world"] == "as assumed"]
    _drawn, held_rate = drawn_intervals(
        assumed, "rate", "As assumed", "90% interval of the mean rate in each base", "purchases a week"
    )
    held_leaving = int(worlds.inside(assumed, "leaving").sum())
    held_total = int(worlds.inside(assumed, "purchases").sum())
    _chance = np.random.default_rng(1).binomial(BASES, 0.9, 100_000)
    alarming = int(np.quantile(_chance, 0.01, method="inverted_cdf"))
    hidden(
        "Show the intervals",
        picture(_drawn, "Twenty intervals of the mean purchase rate, most of which hold the true rate"),
        f"**{held_rate}** of {BASES} hold the rate (you guessed {guess_held.value}), {held_leaving} the "
        f"share who leave, {held_total} the purchases to come. Right would be 18, give or take one or "
        f"two: fewer than {alarming} happens by chance about once in a hundred times. And {BASES} of "
        f"{BASES}, again and again, would be wrong too: intervals wider than they need to be.",
        "The package asks this of every family, with many more bases (`studies/calibration.py`).",
        "> **Say in the meeting:** “90%” is a promise that can be checked: one of ten should miss.",
    )
    return alarming, assumed, held_leaving, held_rate, held_total


@app.cell
def _():
    world = mo.ui.dropdown(KINDS[1:], value="Christmas", label="World")
    told = {
        "regular": "Customers buy at even intervals, like people with a standing habit.",
        "Christmas": "From the day on which the forecast begins everybody buys half as much again.",
        "changing": "In the middle of the year each customer goes on living as another one began.",
        "two kinds": "Four of five hardly ever come back, one of five buys every three weeks; nobody is in between.",
    }
    mo.vstack(
        [
            text(
                "## 2. Break it\n\nEach of the four other worlds breaks one assumption:\n\n"
                + "\n".join(f"- **{name}**: {what}" for name, what in told.items())
                + "\n\n**Guess first, for each:** will the forecast of all purchases be too high, too low, or "
                "right? And which of the four will the checks of the fit (convergence and the like) find?"
            ),
            world,
        ]
    )
    return told, world


@app.cell
def _(world):
    broken = FITTED[FITTED["world"] == world.value]
    _drawn, held_broken = drawn_intervals(
        broken,
        "purchases",
        f"World: {world.value}",
        "90% interval of all purchases of the next 26 weeks",
        "purchases",
    )
    bias = float((broken["purchases_middle"] / broken["purchases_truth"]).mean() - 1)
    complaints = int((broken["checks_passed"] == 0).sum())
    why = {
        "regular": "Whoever buys at even intervals is missed sooner than the model knows: it takes the silent "
        "for slow buyers who rarely leave, and forecasts too much. `mbg_cnbd_k` knows regularity.",
        "Christmas": "Nothing in the past said so. Every customer's error has the same sign, so that it does not "
        "average out. A calendar (lesson 4) cannot know this Christmas either, but it knows that weeks "
        "differ, and is less sure.",
        "changing": "Who looked gone comes back, as somebody else. The model believes that a rate is for ever, and "
        "that silence means farewell. Families whose rates drift or who return know better (lesson 4).",
        "two kinds": "A smooth spread of rates between the two kinds is invented, and with it middling customers who "
        "stay. No family of this package has two kinds: a column that tells them apart would help "
        "(`docs/data.md`).",
    }[world.value]
    hidden(
        "Show the forecasts",
        picture(_drawn, "Twenty intervals of the purchases to come, and what came"),
        f"**{held_broken}** of {BASES} forecasts hold what came; on average they are {abs(bias):.0%} too "
        f"{'high' if bias > 0 else 'low'}. {why}",
        f"In {complaints} of {BASES} bases did the checks of the fit complain. They ask whether the "
        "computer did what it was told, not whether the model is true. Only a holdout, or a look at "
        "the data against the model's own replications, asks that (`clv.evaluate`, `bayes-clv "
        "backtest`).",
        "> **Say in the meeting:** The fit converged. That says nothing about the world.",
    )
    return bias, broken, complaints, held_broken


@app.cell
def _():
    summary = (
        FITTED.assign(
            held=worlds.inside(FITTED, "purchases"),
            ratio=FITTED["purchases_middle"] / FITTED["purchases_truth"],
        )
        .groupby("world", sort=False)
        .agg(held=("held", "sum"), ratio=("ratio", "mean"), passed=("checks_passed", "sum"))
    )
    _rows = "\n".join(
        f"| {row.Index} | {row.held} of {BASES} | {row.ratio - 1:+.0%} | {row.passed} of {BASES} |"
        for row in summary.itertuples()
    )
    hidden(
        "All five worlds in one table",
        "| world | forecasts that hold what came | too much by | fits that passed their checks "
        f"|\n|---|---|---|---|\n{_rows}\n",
    )
    return (summary,)


@app.cell
def _():
    text("""
    ## 3. Now you

    After the class, with the package installed, one world of your own takes a minute (and the first time
    some more, for compiling). Change a number, or break something else:

    ```python
    import bayes_clv as clv

    truth = {"r": 0.5, "alpha": 6.0, "a": 0.9, "b": 1.6}
    orders = clv.synthetic.simulate_orders(
        truth, customers=800, seed=1, start="2025-01-01", until="2026-07-01", family="mbg_nbd"
    )
    customers = clv.summarize(
        orders, spend=None, until="2025-12-31", holdout_until="2026-07-01", time_unit="week"
    )
    buying = clv.fit("mbg_nbd", customers, method="laplace", seed=1)
    future = clv.predict(buying, customers, "26 weeks", seed=1)
    print(future["purchases_total"].quantile([0.05, 0.95]).values)
    print(int(customers["holdout_purchases"].sum()))
    ```
    """)
    return


@app.cell
def _(assumed):
    _wide = assumed.assign(
        width=(assumed["purchases_high"] - assumed["purchases_low"]) / assumed["purchases_middle"]
    )
    relative_width = float(_wide["width"].mean())
    mo.vstack(
        [
            text("## Exercises"),
            text(
                "**A.** Before you look: write a rule that says when you would call the model broken. "
                "Then apply it to the table."
            ),
            hidden(
                "Answer A",
                "For instance: fewer than 15 of 20 inside, or a mean error above 10%. What matters is "
                "that it was written before. Every study of this package states its rule before it "
                "runs.",
            ),
            text(
                "**B.** Why are all misses of “Christmas” on the same side, and what does that mean "
                "for a shop with 800,000 customers?"
            ),
            hidden(
                "Answer B",
                f"All customers move together. With 800 the interval is about {relative_width:.0%} "
                "wide; with a thousand times as many it would be far narrower and just as wrong: more "
                "data of the same kind makes this error surer, not smaller.",
            ),
            text(
                "**C.** The forecast of the total is right, and yet the model may be wrong for every "
                "single customer. How?"
            ),
            hidden(
                "Answer C",
                "Errors of opposite sign: frequent buyers too high, rare ones too low. So look at "
                "customers' own intervals and at frequent and rare buyers apart, as the report does "
                "(`docs/holdouts.md`).",
            ),
            text(
                "**D.** Find a world that the model survives although an assumption is broken. What "
                "does that tell?"
            ),
            hidden(
                "Answer D",
                "For instance a little regularity. A model need not be true to be useful; it must be "
                "right about what you ask of it, and only trying tells.",
            ),
        ]
    )
    return (relative_width,)


if __name__ == "__main__":
    app.run()
