"""Lesson 1: what silence means, counted out of a thousand, then with rhythms that nobody knows."""

import marimo

app = marimo.App(app_title="Lesson 1: what silence means")

with app.setup:
    import marimo as mo
    import numpy as np
    import pandas as pd

    from studies.lessons import by_hand
    from studies.lessons.pieces import COLOURS, curves, figure, hidden, percent, picture, text


@app.cell
def _():
    text("""
    # Lesson 1: what silence means

    *About 45 minutes. You need: percentages, and what a mean is.*

    A customer without a contract never says goodbye. All we ever see is silence, and silence has two
    reasons: the customer has left, or has not got round to it. This lesson tells the two apart, first by
    counting, then with what is known of 2,357 real customers.
    """)
    return


@app.cell
def _():
    rhythm = mo.ui.slider(
        2, 26, value=4, label="Weeks from purchase to purchase, on average", show_value=True
    )
    quiet = mo.ui.slider(0, 40, value=12, label="Weeks of silence", show_value=True)
    guess = mo.ui.slider(0, 100, step=5, value=70, label="Your guess, in %", show_value=True)
    mo.vstack(
        [
            text("""
            ## 1. A thousand twins

            Imagine 1,000 customers who are all alike. Each buys every 4 weeks *on average*, at random
            moments; and after each purchase one in ten is content and never comes back. We look at them
            12 weeks after their last purchase.

            **Guess first:** of the twins who have been silent for 12 weeks, how many in a hundred are
            still customers?
            """),
            guess,
            rhythm,
            quiet,
        ]
    )
    return guess, quiet, rhythm


@app.cell
def _(guess, quiet, rhythm):
    left = 100.0
    there = 900 * np.exp(-np.arange(41) / rhythm.value)
    counted = float(there[quiet.value] / (there[quiet.value] + left))
    with figure("A thousand twins", "how many of them are silent so long, and why", 2.8) as (_drawn, _axes):
        _axes.stackplot(
            np.arange(41),
            np.full(41, left),
            there,
            labels=["have left", "are there, and quiet"],
            colors=COLOURS[1::-1],
        )
        _axes.axvline(quiet.value, color="#1f2933", linestyle=":")
        _axes.set(xlabel="weeks since the last purchase", ylim=(0, 1000))
        _axes.legend(loc="upper right")
    hidden(
        "Show the count",
        picture(
            _drawn, "Twins who have left, always 100, below those who are there and quiet, who become fewer"
        ),
        f"After the purchase 100 leave and 900 stay. Of the 900, {there[quiet.value]:.0f} have bought "
        f"nothing for {quiet.value} weeks by mere chance (900 × e^(−{quiet.value}/{rhythm.value})). So "
        f"of {left + there[quiet.value]:.0f} silent ones {there[quiet.value]:.0f} are still there: "
        f"**{counted:.0%}**. You guessed {guess.value}%.",
        "The 100 do not grow while you wait. What changes is how many of the others could be so quiet "
        "by chance. That is all there is to P(alive).",
        f"> **Say in the meeting:** Of a hundred such customers who are silent for {quiet.value} weeks, "
        f"{100 * counted:.0f} are still ours.",
    )
    return counted, there


@app.cell
def _():
    level = mo.ui.slider(
        10, 90, step=10, value=50, label="Worry when P(alive) falls under, in %", show_value=True
    )
    mo.vstack(
        [
            text("""
            ## 2. Nobody tells us the rhythm

            Real customers are no twins. Their rhythm we must read from their purchases, and their
            inclination to leave from everybody's. Take customers whose last purchase was 40 weeks after
            their first, with few or many purchases in between.

            **Guess first:** who should worry us sooner, the one with 2 repeat purchases or the one with
            15? And after how many weeks?
            """),
            level,
        ]
    )
    return (level,)


@app.cell
def _(level):
    frequencies = np.arange(1, 26)
    seen = pd.DataFrame({"frequency": frequencies, "recency": 40.0, "T": 40.0})
    waits = np.arange(0, 157)
    silences = np.array([by_hand.alive(by_hand.silent_for(seen, each))[:, 0] for each in waits])
    worry = np.array(
        [
            np.argmax(row < level.value / 100) if (row < level.value / 100).any() else np.nan
            for row in silences.T
        ]
    )
    with figure("When to worry", f"weeks of silence until P(alive) is under {level.value}%", 2.8) as (
        _drawn,
        _axes,
    ):
        _axes.plot(frequencies, worry, marker="o")
        _axes.axhline(26, color="#5b6770", linestyle=":")
        _axes.annotate(
            "“inactive after half a year”", (25, 26), ha="right", va="bottom", color="#5b6770", fontsize=9
        )
        _axes.set(xlabel="repeat purchases in 40 weeks", ylim=(0, None))
    meeting_worry = (
        f"A customer with 2 repeat purchases in 40 weeks worries us after {worry[1]:.0f} silent weeks, "
        f"one with 15 after {worry[14]:.0f}."
    )
    hidden(
        "Show the answer",
        picture(
            _drawn, "Weeks of silence until one should worry fall as the number of repeat purchases grows"
        ),
        "The good customer worries us sooner. That is no paradox: who buys every three weeks and is "
        "silent for eight has changed; who buys every half year and is silent for eight weeks has not "
        "even been missed.",
        "No single number of weeks is right for both. A list “inactive after half a year” is late for "
        "the best customers, and unjust to the slow ones.",
        f"> **Say in the meeting:** {meeting_worry}",
    )
    return meeting_worry, silences, waits, worry


@app.cell
def _():
    cut = mo.ui.slider(
        4, 52, value=26, label="The rule: inactive after so many weeks of silence", show_value=True
    )
    mo.vstack(
        [
            text("""
            ## 3. What a rule for all costs

            A computer makes 2,000 customers of this shop, all watched for a year, and the shop calls
            inactive who has been silent for half a year.

            **Guess first:** of those whom the rule calls inactive, how many in a hundred are still
            customers? And is the rule better at the active ones?
            """),
            cut,
        ]
    )
    return (cut,)


@app.cell
def _():
    base = by_hand.simulated(2000, 52, seed=5)
    base_alive = by_hand.alive(base)[:, 0]
    base_silence = (base["T"] - base["recency"]).to_numpy()
    return base, base_alive, base_silence


@app.cell
def _(base_alive, base_silence, cut):
    called = base_silence >= cut.value
    wrongly_called = float(base_alive[called].sum())
    wrongly_kept = float((1 - base_alive[~called]).sum())
    with figure("Whom the rule calls what", "customers by P(alive), one rule for all", 2.6) as (
        _drawn,
        _axes,
    ):
        _axes.hist(
            [base_alive[~called], base_alive[called]],
            bins=np.linspace(0, 1, 21),
            stacked=True,
            label=["called active", "called inactive"],
        )
        _axes.set(xlabel="P(alive)", ylabel="customers")
        percent(_axes.xaxis)
        _axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    share_wrong = wrongly_called / max(called.sum(), 1)
    hidden(
        "Show the answer",
        picture(_drawn, "Histogram of P(alive) of 2,000 customers, coloured by what the rule calls them"),
        f"The rule calls {called.sum():,} of 2,000 inactive; {wrongly_called:.0f} of them "
        f"({share_wrong:.0%}) are expected to be still there. And of the {(~called).sum():,} whom it "
        f"calls active {wrongly_kept:.0f} are expected to be gone.",
        "Move the rule. You can only exchange one error for the other: the rule looks at the silence "
        "alone, and throws away the rhythm. A probability per customer keeps both, and you choose what "
        "to do at 30% for reasons of cost.",
        f"> **Say in the meeting:** Of the {called.sum():,} customers whom we call inactive, about "
        f"{wrongly_called:.0f} are not.",
    )
    return called, share_wrong, wrongly_called, wrongly_kept


@app.cell
def _():
    since = mo.ui.slider(1, 156, value=52, label="Weeks since the only purchase", show_value=True)
    mo.vstack(
        [
            text("""
            ## 4. The customer who bought once

            Half of many a list bought once and never again. Two models of the same family differ in one
            sentence: in the first (BG/NBD) nobody leaves before a second purchase, in the second
            (MBG/NBD) one may leave after the first.

            **Guess first:** what does each say of somebody who bought once, a year ago?
            """),
            since,
        ]
    )
    return (since,)


@app.cell
def _(since):
    once = pd.DataFrame({"frequency": 0, "recency": 0.0, "T": np.arange(1.0, 157)})
    by_model = {
        "BG/NBD": by_hand.alive(once, by_hand.BG_NBD, "bg_nbd")[:, 0],
        "MBG/NBD": by_hand.alive(once)[:, 0],
    }
    with figure("The customer who bought once", "P(alive) by weeks since that purchase", 2.6) as (
        _drawn,
        _axes,
    ):
        curves(_axes, once["T"], by_model)
        _axes.axvline(since.value, color="#5b6770", linestyle=":")
        _axes.set(xlabel="weeks", ylim=(0, 1.03))
        percent(_axes.yaxis)
    hidden(
        "Show the answer",
        picture(_drawn, "P(alive) of one who bought once: always 1 by BG/NBD, falling by MBG/NBD"),
        f"After {since.value} weeks BG/NBD says {by_model['BG/NBD'][since.value - 1]:.0%}, MBG/NBD "
        f"{by_model['MBG/NBD'][since.value - 1]:.0%}. The first is not cleverness but a consequence of "
        "an assumption: nobody was *allowed* to leave. Both may forecast the same number of purchases "
        "(BG/NBD takes such people for very slow buyers instead), but as an answer to “is she still a "
        "customer?” one of them is worthless.",
        "> **Say in the meeting:** Before you read a probability, ask what the model forbids.",
    )
    return (by_model,)


@app.cell
def _():
    monthly = by_hand.alive(pd.DataFrame({"frequency": [12], "recency": [52.0], "T": [60.0]}))[0, 0]
    twins = 900 * np.exp(-3) / (900 * np.exp(-3) + 100)
    more_leave = 500 * np.exp(-3) / (500 * np.exp(-3) + 500)
    mo.vstack(
        [
            text("## Exercises"),
            text(
                "**A.** With the twins (4 weeks, one in ten leaves), compute by hand what is left "
                "after 12 weeks."
            ),
            hidden(
                "Answer A", f"900 × e^(−3) = {900 * np.exp(-3):.0f} are there, 100 have left: {twins:.0%}."
            ),
            text("**B.** Now half of them leave after each purchase. Guess, then compute."),
            hidden("Answer B", f"500 × e^(−3) = {500 * np.exp(-3):.0f} against 500: {more_leave:.0%}."),
            text(
                "**C.** Somebody made 12 repeat purchases in a year, the last one 8 weeks ago. By the "
                "real customers' model, not the twins': is P(alive) above or under one half?"
            ),
            hidden(
                "Answer C",
                f"{monthly:.0%}. By the twins' count with a rhythm of 52/12 weeks and one in ten it "
                f"would be {900 * np.exp(-8 * 12 / 52) / (900 * np.exp(-8 * 12 / 52) + 100):.0%}: who "
                "has come back twelve times is also one who rarely leaves, which the twins do not know.",
            ),
            text("**D.** A colleague says: “P(alive) is 20%, so she is gone.” What do you answer?"),
            hidden(
                "Answer D",
                "One of five such customers is still there. Whether that is enough depends on what a "
                "letter costs and what she would bring (lesson 0, question 4), not on whether 20% is a "
                "small number.",
            ),
        ]
    )
    return monthly, more_leave, twins


if __name__ == "__main__":
    app.run()
