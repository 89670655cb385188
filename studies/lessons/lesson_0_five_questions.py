"""Lesson 0: five questions of a business, each answered in one sentence for the meeting."""

import marimo

app = marimo.App(app_title="Lesson 0: five questions")

with app.setup:
    import marimo as mo
    import numpy as np

    from studies.lessons import by_hand
    from studies.lessons.pieces import COLOURS, curves, figure, hidden, percent, picture, text

    NAMES = list(by_hand.THREE.index)


@app.cell
def _():
    text("""
    # Lesson 0: five questions, five sentences

    *About 45 minutes. You need no statistics; you need to be willing to guess before you look.*

    A shop that sells by post has watched three customers for a year (52 weeks). None of them has a
    contract: nobody ever says goodbye, they only stop.

    | | repeat purchases | the last one | mean spend of a purchase |
    |---|---|---|---|
    | **Anna** | 8 | 3 weeks ago | $18 |
    | **Ben** | 1 | 42 weeks ago | $240 |
    | **Clara** | 3 | 14 weeks ago | $60 |

    Each of them has a first purchase at week 0, which is not counted among the repeat purchases. The
    shop earns 30% of what is spent.

    **Before you go on, write down whom you would drop from the list of addresses, and why.** We come
    back to it.

    Where do the numbers below come from? From the purchases of 2,357 customers of CDNOW, which say how
    often people buy, how often they leave, and how much both differ from one to the next (the MBG/NBD
    and Gamma-Gamma models, with the figures of the published papers). Nothing is fitted in this lesson.
    """)
    return


@app.cell
def _():
    silence = mo.ui.slider(1, 52, value=14, label="Weeks since the last purchase", show_value=True)
    guess_alive = mo.ui.slider(0, 100, step=5, value=50, label="Your guess for Clara, in %", show_value=True)
    mo.vstack(
        [
            text("""
            ## 1. Who is still a customer?

            Suppose that all three have been silent for equally long. Who is then most probably still a
            customer?

            **Guess first:** all three have been silent for 14 weeks. How probable is it that Clara is
            still there? And is Anna, who bought eight times, above her or below?
            """),
            guess_alive,
            silence,
        ]
    )
    return guess_alive, silence


@app.cell
def _(guess_alive, silence):
    weeks = np.arange(1, 53)
    now = by_hand.alive(by_hand.silent_for(by_hand.THREE, silence.value))[:, 0]
    by_weeks = np.array([by_hand.alive(by_hand.silent_for(by_hand.THREE, each))[:, 0] for each in weeks])
    with figure("Who is still a customer?", "P(alive) by weeks since the last purchase", 2.8) as (
        _drawn,
        _axes,
    ):
        curves(_axes, weeks, dict(zip(NAMES, by_weeks.T, strict=True)))
        _axes.axvline(silence.value, color="#5b6770", linestyle=":")
        _axes.set(xlabel="weeks since the last purchase", ylim=(0, 1))
        percent(_axes.yaxis)
    meeting_1 = (
        f"After {silence.value} weeks without an order Anna is still a customer with {now[0]:.0%}, Ben "
        f"with {now[1]:.0%} and Clara with {now[2]:.0%}: the same silence is a farewell for one and "
        "nothing for another."
    )
    hidden(
        "Show the answer, and the sentence",
        picture(_drawn, "P(alive) of Anna, Ben and Clara against weeks of silence; Anna's falls fastest"),
        f"You guessed {guess_alive.value}% for Clara; at {silence.value} weeks it is "
        f"**{now[2]:.0%}**. Anna falls fastest, because eight purchases in a year make fourteen "
        "silent weeks strange. Ben's curve is flat: he has told us so little that silence "
        "tells us little more.",
        f"> **Say in the meeting:** {meeting_1}",
    )
    return meeting_1, now


@app.cell
def _():
    horizon = mo.ui.slider(4, 104, step=4, value=52, label="Weeks ahead", show_value=True)
    mo.vstack(
        [
            text("""
            ## 2. What will they buy?

            From here on the three are as in the table: silent for 3, 42 and 14 weeks.

            **Guess first:** Anna made 8 repeat purchases last year. Next year, will she make about 8,
            more, or fewer?
            """),
            horizon,
        ]
    )
    return (horizon,)


@app.cell
def _(horizon):
    expected = by_hand.purchases(by_hand.THREE, horizon.value)[:, 0]
    counts = by_hand.chances(by_hand.THREE, horizon.value, 15)[:, :, 0]
    any_purchase = 1 - counts[0]
    with figure(
        "What will they buy?",
        f"probability of each number of purchases in {horizon.value} weeks",
        2.6,
        panels=3,
    ) as (_drawn, _axes):
        for place, (panel, name) in enumerate(zip(_axes, NAMES, strict=True)):
            panel.bar(np.arange(16), counts[:, place], color=COLOURS[place])
            panel.axvline(expected[place], color="#1f2933", linestyle=":")
            panel.set(xlabel=f"purchases of {name}", ylim=(0, 1))
            percent(panel.yaxis)
    meeting_2 = (
        f"In the next {horizon.value} weeks we expect {expected[0]:.1f} purchases of Anna, "
        f"{expected[1]:.1f} of Ben and {expected[2]:.1f} of Clara; that any of them buys at all has the "
        f"chances {any_purchase[0]:.0%}, {any_purchase[1]:.0%} and {any_purchase[2]:.0%}."
    )
    hidden(
        "Show the answer, and the sentence",
        picture(_drawn, "Bars of the probability of 0 to 15 purchases for each of the three"),
        f"Of Anna we expect {expected[0]:.1f}, and not 8. Two things pull it down: she may have "
        "left already, or leave on the way; and who bought much last year was partly lucky. "
        "The dotted line is the expected number; hardly any year will look like it.",
        f"> **Say in the meeting:** {meeting_2}",
    )
    return any_purchase, expected, meeting_2


@app.cell
def _():
    ben_spends = mo.ui.slider(
        20, 400, step=20, value=240, label="Mean spend of Ben's purchases, $", show_value=True
    )
    drop = mo.ui.radio(NAMES, value="Clara", label="Whom would you drop?", inline=True)
    mo.vstack(
        [
            text("""
            ## 3. What are they worth?

            Worth = margin × purchases of the next 52 weeks × spend of a purchase. (Money of next year is
            not discounted here, to keep one thing at a time.)

            **Guess first:** here is your note from the beginning. Whom would you drop?
            """),
            drop,
            ben_spends,
        ]
    )
    return ben_spends, drop


@app.cell
def _(ben_spends, drop):
    seen = by_hand.with_(by_hand.THREE, "Ben", mean_spend=ben_spends.value)
    paid = by_hand.spend(seen)[:, 0]
    worth = by_hand.value(seen, 52, margin=0.3)[:, 0]
    least = NAMES[int(np.argmin(worth))]
    with figure("What are they worth?", "margin of the next 52 weeks, expected, $", 1.9) as (_drawn, _axes):
        _axes.barh(NAMES, worth, color=COLOURS[:3])
        _axes.invert_yaxis()
        _axes.grid(visible=False, axis="y")
    meeting_3 = (
        f"Next year Anna is worth ${worth[0]:.0f}, Ben ${worth[1]:.0f} and Clara ${worth[2]:.0f} of margin; "
        f"silent for a quarter of a year and worth as much as our best buyer, that is Clara."
    )
    hidden(
        "Show the answer, and the sentence",
        picture(_drawn, "Bars of the expected margin of Anna, Ben and Clara"),
        f"You would drop {drop.value}; the one worth least is **{least}**. Clara, silent for 14 "
        "weeks, is worth as much as Anna, who bought three weeks ago. And Ben spends "
        f"${ben_spends.value} a purchase so far, but we expect only ${paid[1]:.0f} of the next "
        "one: one large purchase says less than it seems, and is drawn towards what people "
        "spend in general. Move his slider.",
        "None of the three has a negative worth. Nobody needs to be dropped; the question is "
        "what an address costs, which is the next one.",
        f"> **Say in the meeting:** {meeting_3}",
    )
    return least, meeting_3, paid, worth


@app.cell
def _():
    letter = mo.ui.slider(0.5, 10, step=0.5, value=2, label="Cost of a letter, $", show_value=True)
    mo.vstack(
        [
            text("""
            ## 4. Whom to contact?

            A letter pays if the margin of the *additional* purchases that it brings is more than it costs.

            **Guess first:** the letter goes to the one who is worth most. Right or wrong?
            """),
            letter,
        ]
    )
    return (letter,)


@app.cell
def _(letter):
    earned = 0.3 * by_hand.spend(by_hand.THREE)[:, 0]
    needed = letter.value / earned
    with figure("Whom to contact?", f"additional purchases that pay a letter of ${letter.value:g}", 1.9) as (
        _drawn,
        _axes,
    ):
        _axes.barh(NAMES, needed, color=COLOURS[:3])
        _axes.invert_yaxis()
        _axes.grid(visible=False, axis="y")
    meeting_4 = (
        f"A letter of ${letter.value:g} pays if it brings one more purchase of every "
        f"{1 / needed[0]:.0f} customers like Anna, of every {1 / needed[1]:.0f} like Ben, or of every "
        f"{1 / needed[2]:.0f} like Clara; whether it does, only a test with a group that gets none can "
        "say."
    )
    hidden(
        "Show the answer, and the sentence",
        picture(_drawn, "Bars of the additional purchases that pay a letter, for each of the three"),
        "Wrong, or at least not known. Anna buys without a letter. What counts is what the "
        "letter *changes*, and no order log shows that: it needs an experiment (`clv.target` "
        "reads one). What the log does tell is how much it would have to change.",
        f"> **Say in the meeting:** {meeting_4}",
    )
    return meeting_4, needed


@app.cell
def _():
    patience = mo.ui.slider(
        13, 156, step=13, value=52, label="Weeks until it must have paid", show_value=True
    )
    mo.vstack(
        [
            text("""
            ## 5. What may a new customer cost?

            Somebody new makes a first purchase, and then we know nothing of them but what we know of
            everybody.

            **Guess first:** a purchase earns about $10 of margin. What may the advertisement cost that
            brings one new customer, if it must have paid after a year?
            """),
            patience,
        ]
    )
    return (patience,)


@app.cell
def _(patience):
    ahead = np.arange(0, 157, 13)
    first = 0.3 * float(by_hand.spend(by_hand.NEW)[0, 0])
    cumulated = first + np.array(
        [float(by_hand.value(by_hand.NEW, each, 0.3)[0, 0]) if each else 0.0 for each in ahead]
    )
    may_cost = first + float(by_hand.value(by_hand.NEW, patience.value, 0.3)[0, 0])
    with figure("What may a new customer cost?", "margin of one new customer so far, expected, $", 2.6) as (
        _drawn,
        _axes,
    ):
        _axes.plot(ahead, cumulated, marker="o")
        _axes.axvline(patience.value, color="#5b6770", linestyle=":")
        _axes.set(xlabel="weeks since the first purchase", ylim=(0, None))
    meeting_5 = (
        f"A new customer may cost up to ${may_cost:.0f} if it must have paid within {patience.value} weeks; "
        f"${first:.0f} of that is the first purchase itself."
    )
    hidden(
        "Show the answer, and the sentence",
        picture(_drawn, "Cumulated margin of a new customer against weeks, rising and flattening"),
        f"The first purchase earns ${first:.2f}, later ones the rest. The curve flattens, "
        "because most new customers leave after one or two purchases and a few stay for years. "
        "What is paid for a channel should also hold the uncertainty of this number: lesson 3.",
        f"> **Say in the meeting:** {meeting_5}",
    )
    return cumulated, first, may_cost, meeting_5


@app.cell
def _():
    clara = by_hand.chances(by_hand.THREE, 52, 15)[:, 2, 0]
    clara_good = int(np.searchsorted(np.cumsum(clara), 0.95)) * 0.3 * by_hand.spend(by_hand.THREE)[2, 0]
    cheap = by_hand.with_(by_hand.THREE, "Ben", mean_spend=60.0)
    ben_cheap = float(by_hand.value(cheap, 52, 0.3)[1, 0])
    twice = by_hand.with_(by_hand.THREE, "Clara", frequency=1, recency=14)
    clara_early = float(by_hand.alive(twice)[2, 0])
    mo.vstack(
        [
            text("## Exercises"),
            text(
                "**A.** Ben's purchases had been of $60, not $240. What is he worth next year? Guess, "
                "then move his slider."
            ),
            hidden(
                "Answer A",
                f"${ben_cheap:.1f}: not a quarter of before, but a little more than that, since large "
                "amounts had been drawn down towards the mean more than small ones.",
            ),
            text(
                "**B.** Clara's three purchases had been one, in week 14, and silence ever since. Is "
                "she still there?"
            ),
            hidden(
                "Answer B",
                f"With {clara_early:.0%}, instead of {float(by_hand.alive(by_hand.THREE)[2, 0]):.0%}: "
                "38 weeks of silence instead of 14, and no rhythm that we know of.",
            ),
            text(
                "**C.** Take the five sentences. Which of them would be false in a shop whose "
                "customers have a contract that they must cancel?"
            ),
            hidden(
                "Answer C",
                "The first: there a customer who is gone has said so, and P(alive) is 0 or 1. The "
                "second counts renewals instead of purchases. The other three stay questions, with "
                "other models (`shifted_beta_geometric`).",
            ),
            text("**D.** Which sentence would you not dare to say without lesson 3, and why?"),
            hidden(
                "Answer D",
                "Any that gives one number for one person. "
                f"${by_hand.value(by_hand.THREE, 52, 0.3)[2, 0]:.0f} for Clara is a mean over people "
                f"like her: with {clara[0]:.0%} she buys nothing at all next year, and one year of "
                f"twenty brings ${clara_good:.0f} or more.",
            ),
        ]
    )
    return ben_cheap, clara_early


if __name__ == "__main__":
    app.run()
