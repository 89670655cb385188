"""Lesson 3: expected, latent, outcome, and a decision that the choice of interval turns round."""

import marimo

app = marimo.App(app_title="Lesson 3: expected, latent, outcome")

with app.setup:
    import marimo as mo
    import numpy as np

    from bayes_clv.views.style import thousands
    from studies.lessons import by_hand, draws
    from studies.lessons.pieces import COLOURS, figure, hidden, percent, picture, text

    BUYING, SPENDING = draws.load()
    CLARA = by_hand.THREE.loc[["Clara"]]
    MARGIN = 0.3


@app.cell
def _():
    text("""
    # Lesson 3: expected, latent, outcome

    *About 60 minutes. You need: lesson 0; what a histogram is.*

    “We are 90% sure that it is between … and …”: of what is that said? Three things are not known of a
    customer, and a number that does not say which of them it holds is worth little.

    1. **The population.** How often people buy and leave, and how much they differ, is learned from 2,357
       customers, and not exactly. What varies with that alone is called **expected**.
    2. **The customer's own rhythm.** Two customers with one history are still two customers. What varies with
       that too is **latent**.
    3. **Chance.** One who buys once a month buys 0 to 3 times in a month. What holds that too is the **outcome**.

    Our customer is Clara of lesson 0: three repeat purchases in a year, the last one 14 weeks ago, $60 each.
    """)
    return


@app.cell
def _():
    guess_low = mo.ui.slider(0, 10, step=1, value=1, label="Your 90% interval: from", show_value=True)
    guess_high = mo.ui.slider(0, 20, step=1, value=3, label="to", show_value=True)
    weeks = mo.ui.slider(13, 104, step=13, value=52, label="Weeks ahead", show_value=True)
    mo.vstack(
        [
            text("""
            ## 1. Three answers to one question

            How many purchases will Clara make in the next 52 weeks?

            **Guess first:** between which two numbers will it be, nine times in ten?
            """),
            mo.hstack([guess_low, guess_high], justify="start"),
            weeks,
        ]
    )
    return guess_high, guess_low, weeks


@app.cell
def _(guess_high, guess_low, weeks):
    many = {name: np.repeat(values, 25) for name, values in BUYING.items()}
    _, _rates, _made = by_hand.futures(CLARA, weeks.value, 1, many)
    rate_drawn, made = _rates[0], _made[0]
    levels = {
        "expected: purchases, on average over customers like her": by_hand.purchases(
            CLARA, weeks.value, BUYING
        )[0],
        "latent: her own rhythm, times the weeks, if she stayed": rate_drawn * weeks.value,
        "outcome: what she will have bought": made,
    }
    ends = {
        name.split(":")[0]: np.quantile(each, (0.05, 0.95), method="inverted_cdf")
        for name, each in levels.items()
    }
    with figure(
        "Three answers", f"Clara's purchases in {weeks.value} weeks; shaded: the middle 90%", 4.6, below=3
    ) as (
        _drawn,
        _axes,
    ):
        for _panel, _colour, (_name, _values) in zip(_axes, COLOURS, levels.items(), strict=False):
            _edges = np.arange(-0.5, 21.5) if _name.startswith("outcome") else np.linspace(-0.5, 20.5, 106)
            _panel.hist(_values, bins=_edges, weights=np.full(_values.size, 1 / _values.size), color=_colour)
            _panel.axvspan(*ends[_name.split(":")[0]], color=_colour, alpha=0.15)
            _panel.set_ylabel(_name.split(":")[0])
            percent(_panel.yaxis)
        _axes[-1].set(xlabel="purchases", xlim=(-0.5, 20.5), xticks=range(0, 21, 2))
    inside = float(np.mean((made >= guess_low.value) & (made <= guess_high.value)))
    hidden(
        "Show the three answers",
        picture(
            _drawn,
            "Histograms of Clara's expected purchases, her own rhythm, and the outcome, one below the other",
        ),
        f"Expected: **{ends['expected'][0]:.1f} to {ends['expected'][1]:.1f}**. Her own rhythm over "
        f"{weeks.value} weeks: **{ends['latent'][0]:.1f} to {ends['latent'][1]:.1f}**. Outcome: "
        f"**{ends['outcome'][0]:.0f} to {ends['outcome'][1]:.0f}**. Your interval, {guess_low.value} to "
        f"{guess_high.value}, holds {inside:.0%} of the futures.",
        "Between 1.5 and 1.8 lies no whole number: an interval of an expectation cannot hold what she "
        "does, however much data we collect. On CDNOW, 90% intervals of the *expected* purchases held "
        "the real number of 0.8% of the customers, those of the *outcome* 94.8% "
        "(`studies/cdnow_holdout.py`).",
        "> **Say in the meeting:** Customers like Clara buy "
        f"{levels['expected: purchases, on average over customers like her'].mean():.1f} times on "
        f"average; Clara herself between {ends['outcome'][0]:.0f} and {ends['outcome'][1]:.0f} times.",
    )
    return ends, inside, levels, made, rate_drawn


@app.cell
def _():
    group = mo.ui.slider(
        steps=[1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000],
        value=20,
        label="How many customers like Clara",
        show_value=True,
    )
    mo.vstack(
        [
            text("""
            ## 2. What averages out, and what does not

            Take not one Clara but many, and ask for their purchases *per customer*.

            **Guess first:** does the interval shrink to a point when there are 5,000 of them?
            """),
            group,
        ]
    )
    return (group,)


@app.cell
def _(group):
    sizes = np.array([1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000])
    counts = by_hand.chances(CLARA, 52, 60, BUYING)[:, 0, :]
    rng = np.random.default_rng(3)
    means = np.array(
        [
            [rng.multinomial(size, each / each.sum()) @ np.arange(61) / size for each in counts.T]
            for size in sizes
        ]
    )
    low, high = np.quantile(means, (0.05, 0.95), axis=1)
    floor = np.quantile(by_hand.purchases(CLARA, 52, BUYING)[0], (0.05, 0.95))
    at = int(np.flatnonzero(sizes == group.value)[0])
    with figure("What averages out", "purchases per customer in 52 weeks, middle 90%", 2.8) as (
        _drawn,
        _axes,
    ):
        _axes.fill_between(sizes, low, high, color=COLOURS[2], alpha=0.35, label="outcome")
        _axes.axhspan(*floor, color=COLOURS[0], alpha=0.5, label="expected")
        _axes.axvline(group.value, color="#1f2933", linestyle=":")
        _axes.set(xscale="log", xlabel="customers like Clara", ylim=(0, None))
        _axes.legend(loc="upper right")
        thousands(_axes.xaxis)
    hidden(
        "Show the answer",
        picture(
            _drawn,
            "The interval of the outcome per customer narrows with more customers, down to that of the "
            "expectation",
        ),
        f"With {group.value:,} customers: {low[at]:.2f} to {high[at]:.2f} purchases each. It shrinks, "
        f"and stops at {floor[0]:.2f} to {floor[1]:.2f}: chance and the customers' differences average "
        "out, what is not known of the population is the same for all of them and does not. So the "
        "expected interval is right for a mean over very many, and for nothing else.",
        "And what the model leaves out, such as Christmas (lesson 4), is in neither.",
        "> **Say in the meeting:** More customers make the average surer, but never surer than what we "
        "know of the market.",
    )
    return at, floor, high, low, sizes


@app.cell
def _():
    claras = mo.ui.slider(5, 300, step=5, value=20, label="Customers like Clara in the shop", show_value=True)
    cost = mo.ui.slider(
        5, 30, step=1, value=25, label="Cost of the programme per customer, $", show_value=True
    )
    mo.vstack(
        [
            text("""
            ## 3. A decision that the interval turns round

            A small shop has 20 customers like Clara and pays for a service that keeps them: $25 a head
            and year, $500 together, in advance. Without it they would all be gone. The margin is 30%.
            The owner has no reserves: a year that does not earn the $500 is the last one.

            **Guess first:** the expected margin of the 20 is about $570. Is the service safe?
            """),
            claras,
            cost,
        ]
    )
    return claras, cost


@app.cell
def _(claras, cost):
    _counts = by_hand.chances(CLARA, 52, 60, BUYING)[:, 0, :]
    _rng = np.random.default_rng(4)
    _purchases = np.array(
        [_rng.multinomial(claras.value, each / each.sum(), size=10) @ np.arange(61) for each in _counts.T]
    )
    per_purchase = MARGIN * by_hand.spend(CLARA, SPENDING)[0]
    total = (_purchases * per_purchase[:, None]).ravel()
    expected_total = claras.value * by_hand.value(CLARA, 52, MARGIN, BUYING, SPENDING)[0]
    bill = claras.value * cost.value
    loss = float(np.mean(total < bill))
    expected_ends = np.quantile(expected_total, (0.05, 0.95))
    total_ends = np.quantile(total, (0.05, 0.95))
    with figure(
        "Is it safe?", f"margin of {claras.value} customers in 52 weeks, $; dotted: the bill", 2.6
    ) as (_drawn, _axes):
        _edges = np.linspace(0, max(total.max(), bill) * 1.02, 60)
        _axes.hist(
            total, bins=_edges, weights=np.full(total.size, 1 / total.size), color=COLOURS[2], label="outcome"
        )
        _axes.axvspan(*expected_ends, color=COLOURS[0], alpha=0.4, label="expected, 90%")
        _axes.axvline(bill, color="#1f2933", linestyle=":")
        _axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
        percent(_axes.yaxis)
    safe = "above the bill throughout: “safe”" if expected_ends[0] > bill else "not above the bill throughout"
    hidden(
        "Show the answer",
        picture(
            _drawn,
            "Histogram of the margin of all these customers, with the interval of its expectation and "
            "the bill",
        ),
        f"The interval of the expectation, ${expected_ends[0]:.0f} to ${expected_ends[1]:.0f}, is "
        f"{safe}. That of the outcome is ${total_ends[0]:.0f} to ${total_ends[1]:.0f}, and the bill of "
        f"${bill} is not earned with a chance of **{loss:.0%}**.",
        "Now give the shop 300 such customers, at the same cost a head: the expectation per customer "
        "is the same, and the chance of a loss nearly gone. The interval of the expectation could not "
        "have told the two shops apart.",
        "(What each purchase brings is held at its expectation here; drawn too, the interval becomes "
        "wider still.)",
        f"> **Say in the meeting:** On average the service pays; in a single year of our {claras.value} "
        f"customers it does not with a chance of {loss:.0%}, and we must be able to bear that.",
    )
    return bill, expected_ends, loss, total, total_ends


@app.cell
def _():
    _one = by_hand.chances(CLARA, 52, 60, BUYING)[:, 0, :].mean(axis=1)
    none, two = float(_one[0]), float(_one[2:].sum())
    mo.vstack(
        [
            text("## Exercises"),
            text(
                "**A.** Which level answers: (a) “Does channel A bring better customers than channel "
                "B?” (b) “What will this customer bring?” (c) “Is this customer a fast buyer?”"
            ),
            hidden("Answer A", "(a) expected; (b) outcome; (c) latent."),
            text(
                "**B.** A gift costs $20 and goes to customers who buy at least twice in the next "
                "year. How probably Clara?"
            ),
            hidden(
                "Answer B",
                f"With {two:.0%}. The expected number, 1.7, sounds like “nearly twice, so usually”; but "
                f"with {none:.0%} she buys nothing.",
            ),
            text("**C.** Why does nobody's 90% interval of a number of purchases hold exactly 90%?"),
            hidden(
                "Answer C",
                "A number of purchases is whole. The interval from 0 to 0 of a customer who buys "
                "nothing with 97% holds 97%; none holds 90%. So compare the share of customers inside "
                "with what the intervals promise.",
            ),
            text(
                "**D.** Section 3, but the shop may stop the service after half a year and have half "
                "of the money back. What would you have to compute? (No number needed.)"
            ),
            hidden(
                "Answer D",
                "The outcomes of the first half and, *in the same futures*, of the second: stop in "
                "those where it looks bad. Two separate intervals cannot be put together; draws can.",
            ),
        ]
    )
    return none, two


if __name__ == "__main__":
    app.run()
