"""Flow between two dates: every customer once in every draw, stages of one draw, and intervals that hold the truth."""

import numpy as np
import pandas as pd
import pytest

import bayes_clv as clv
from bayes_clv.families.registry import family as formulas

MBG = {"r": 0.8, "alpha": 6.0, "a": 0.8, "b": 2.4}
PARETO = {"r": 0.8, "alpha": 6.0, "s": 0.7, "beta": 15.0}
ABE = {
    "population_purchase_rate": 0.1,
    "log_rate_sd": 0.9,
    "population_dropout_rate": 0.03,
    "log_dropout_sd": 1.0,
    "concordance": 0.6,
}
GGG = {"regularity_shape": 4.0, "regularity_rate": 2.0, **PARETO}
STAGES = clv.segments.lifecycle()
NAMES = [segment.name for segment in STAGES.segments]


@pytest.fixture(scope="module")
def log():
    """Acquired over 30 weeks, so that some become customers between the two dates."""
    return clv.synthetic.simulate_orders(MBG, customers=300, seed=3, acquisition="30 weeks", family="mbg_nbd")


@pytest.fixture(scope="module")
def dates(log):
    return [clv.summarize(log, until=day, spend=None) for day in ("2025-06-01", "2025-11-30")]


@pytest.fixture(scope="module")
def draws(dates, make_posterior):
    posterior = make_posterior("mbg_nbd", MBG, sd=0.1, chains=1, draws=80)
    return [clv.simulate(posterior, each, draws=80, seed=1) for each in dates]


def test_texts_are_those_of_each_date(dates, make_posterior):
    """Every second customer is of the web, and of these every second is no more at the second date."""
    posterior = make_posterior("mbg_nbd", MBG, sd=0.1, chains=1, draws=20)
    rule = clv.rule("Channel", {"web": "channel == 'web'", "others": "channel != 'web'"})
    draws = []
    for date, every in zip(dates, (2, 4), strict=True):
        number = np.array([int(each[1:]) for each in date["customer"].to_numpy()])
        channel = np.where(number % every == 0, "web", "shop").astype(object)
        draws.append(clv.simulate(posterior, date.assign(channel=("customer", channel)), draws=20, seed=1))
    flow = clv.segments.flow(*draws, rule)["flow_mean"].to_pandas()
    number = np.array([int(each[1:]) for each in dates[0]["customer"].to_numpy()])
    assert flow.loc["web"].to_dict() == {"web": (number % 4 == 0).sum(), "others": (number % 4 == 2).sum()}
    assert flow.loc["others"].to_dict() == {"web": 0, "others": (number % 2 == 1).sum()}


def gathered(draws, *names):
    found = {name: np.empty((draws.customers.sizes["customer"], draws.size)) for name in names}
    for places, block in draws.blocks(names):
        for name in names:
            found[name][places] = block[name]
    return list(found.values())


def stage(alive, rate, silence, frequency):
    """The stage of one customer in one draw, written out."""
    if alive and rate * silence < 2:
        return "first purchase" if frequency == 0 else "repeat" if frequency < 4 else "loyal"
    return "at risk" if alive and rate * silence < 4 else "lapsed"


def test_each_draw_is_counted_customer_by_customer(dates, draws):
    flow = clv.segments.flow(*draws, STAGES, keep_pairs=True)
    alive, rate = gathered(draws[1], "alive", "purchase_rate")
    before, after = (each[["frequency", "recency", "T"]].to_dataframe() for each in dates)
    expected = np.zeros(flow["flow"].shape)
    pair = np.zeros(flow["pair"].shape)
    for i, (customer, row) in enumerate(after.iterrows()):
        for s in range(80):
            to = stage(alive[i, s], rate[i, s], row["T"] - row["recency"], row["frequency"])
            came = "prospect"
            if customer in before.index:
                old = before.loc[customer]
                bought = row["frequency"] > old["frequency"]
                # In MBG/NBD one leaves with a purchase: alive now or bought since, or else gone already then.
                then = bought or alive[i, s]
                came = stage(then, rate[i, s], old["T"] - old["recency"], old["frequency"])
                if came == "lapsed" and bought and to in ("repeat", "loyal"):
                    to = "won back"
            at = ["prospect", *NAMES].index(came), [*NAMES, "won back"].index(to)
            expected[s][at] += 1
            pair[i][at] += 1 / 80
    np.testing.assert_array_equal(flow["flow"], expected)
    np.testing.assert_allclose(flow["pair"], pair, atol=1e-6)
    assert expected[:, 0].sum() > 0 < expected[:, :, -1].sum()
    best = pair.reshape(len(pair), -1).argmax(axis=1)
    np.testing.assert_array_equal(flow["most_likely_from"], flow["from_segment"].values[best // 6])
    np.testing.assert_array_equal(flow["most_likely_to"], flow["to_segment"].values[best % 6])
    np.testing.assert_allclose(flow["most_likely_probability"], pair.max(axis=(1, 2)))
    stayed = sum(pair[:, 1 + k, k] for k in range(5))
    np.testing.assert_allclose(flow["moved"], 1 - stayed, atol=1e-12)


@pytest.mark.parametrize("known", ["now", "then"])
def test_every_customer_is_counted_once_in_every_draw(draws, known):
    flow = clv.segments.flow(*draws, STAGES, known=known)
    customers = draws[1].customers.sizes["customer"]
    assert (flow["flow"].sum(("from_segment", "to_segment")) == customers).all()
    new = customers - draws[0].customers.sizes["customer"]
    assert (flow["flow"].sel(from_segment="prospect").sum("to_segment") == new).all()
    there = flow["from_size_mean"] > 0
    np.testing.assert_allclose(flow["share_mean"].sum("to_segment"), np.where(there, 1, 0), atol=1e-9)
    # The second date's stages are those of segment, of the same draws; won back ones are moved from two of them.
    flows = flow["flow"].sum("from_segment")
    sizes = clv.segment(draws[1], STAGES)["size"]
    for name in ("first purchase", "at risk", "lapsed"):
        np.testing.assert_array_equal(flows.sel(to_segment=name), sizes.sel(segment=name))
    np.testing.assert_array_equal(
        flows.sel(to_segment=["repeat", "loyal", "won back"]).sum("to_segment"),
        sizes.sel(segment=["repeat", "loyal"]).sum("segment"),
    )
    low, mean, high = (flow[f"flow_{each}"] for each in ("q05", "mean", "q95"))
    np.testing.assert_allclose(mean, flow["flow"].mean("draw"))
    assert ((flow["flow"] >= low) & (flow["flow"] <= high)).mean("draw").min() >= 0.9


def test_then_is_the_label_that_was_given(draws):
    flow = clv.segments.flow(*draws, STAGES, known="then", won_back=((), ()))
    called = clv.segment(draws[0], STAGES)["most_likely"].to_series()
    likely = flow["most_likely_from"].to_series()
    assert (likely[called.index] == called).all()
    assert (likely.drop(called.index) == "prospect").all()
    now = clv.segment(draws[1], STAGES)["membership"].to_pandas()
    mean = flow["flow_mean"].to_pandas()
    for name in NAMES:
        np.testing.assert_allclose(mean.loc[name], now.loc[called.index[called == name]].sum(), atol=1e-3)
    # Who was called lapsed for no reason but silence, and bought since, is won back.
    kept = clv.segments.flow(*draws, STAGES, known="then", keep_pairs=True)
    back = kept["pair"].sel(to_segment="won back")
    assert (back.sum("customer") > 0).values.tolist() == [False] * 5 + [True]
    frequency = [each.customers["frequency"].to_series() for each in draws]
    bought = (frequency[1] > frequency[0].reindex(frequency[1].index)).to_numpy()
    came, asleep = (back.sel(from_segment="lapsed").to_numpy()[which] for which in (bought, ~bought))
    assert came.max() > 0.5
    assert (asleep == 0).all()
    # Some of those who were called lapsed and did not buy are thought alive now, and repeat: not won back.
    assert (kept["pair"].sel(from_segment="lapsed", to_segment="repeat").to_numpy()[~bought] > 0).any()


def test_thresholds_of_the_base_are_those_of_each_date(draws):
    """Halves by silence: at each date, in every draw, half of its own base is below."""
    halves = clv.rule(
        "halves", {"fast": "purchase_rate > quantile(0.5)", "slow": "purchase_rate <= quantile(0.5)"}
    )
    flow = clv.segments.flow(*draws, halves)
    assert "won back" not in flow["to_segment"]
    for side, base, left_out in (("from", draws[0], "prospect"), ("to", draws[1], None)):
        sizes = flow["flow"].sum("to_segment" if side == "from" else "from_segment")
        people = base.customers.sizes["customer"]
        slow = sizes.sel({f"{side}_segment": "slow"})
        assert (slow == -(-people // 2)).all(), left_out
    # One rate at both dates: who is left in a half of one base moves only as the other base shifts the median.
    assert flow["flow"].sel(from_segment="fast", to_segment="slow").mean() < 10


def test_neither_order_nor_threads_change_anything(draws, dates, make_posterior):
    first = clv.segments.flow(*draws, STAGES)
    posterior = make_posterior("mbg_nbd", MBG, sd=0.1, chains=1, draws=80)
    turned = [
        clv.simulate(posterior, each.isel(customer=slice(None, None, -1)), draws=80, seed=1) for each in dates
    ]
    for other in (clv.segments.flow(*turned, STAGES), clv.segments.flow(*draws, STAGES, threads=1)):
        np.testing.assert_array_equal(first["flow"], other["flow"])
        np.testing.assert_allclose(other["moved"].sel(customer=first["customer"]), first["moved"])


@pytest.mark.parametrize(
    ("family", "values"),
    [
        ("pareto_nbd", PARETO),
        # Their draws compile for half a minute.
        pytest.param("pareto_abe", ABE, marks=pytest.mark.full),
        pytest.param("pareto_ggg", GGG, marks=pytest.mark.full),
    ],
)
def test_who_was_alive_at_the_first_date(family, values, make_posterior):
    """Against the closed forms: silent between the dates, P(alive then) is 1 - P(gone then) / P(no purchase between).

    Bayes' rule at the first date: of those silent until the second, the ones who had left by the first are a part.
    """
    table = {"frequency": [0, 1, 3, 12, 5], "recency": [0.0, 4.0, 20.0, 24.0, 25.5], "T": [26.0] * 5}
    ids = [f"c{i}" for i in range(5)]
    if family == "pareto_ggg":
        table["log_intervals"] = [0.0, np.log(4.0), 5.4, 7.0, 8.0]
    early = pd.DataFrame({"customer_id": ids, **table})
    gap, size = 14.0, 4000
    posterior = make_posterior(family, values, sd=0.0, chains=1, draws=size)
    # A duplicate of the family's parameters in every draw: what varies is the customer alone.
    both = [
        clv.customers.from_table(early.assign(T=early["T"] + more), time_unit="week") for more in (0.0, gap)
    ]
    for each in both:
        if family == "pareto_ggg":
            each["log_intervals"] = ("customer", early["log_intervals"].to_numpy())
    draws = [clv.simulate(posterior, each, draws=size, seed=2) for each in both]
    kinds = clv.rule("alive", {"here": "alive == 1", "gone": "alive == 0"})
    flow = clv.segments.flow(*draws, kinds, keep_pairs=True)
    forecast = formulas(family).forecast
    history = {name: early[name].to_numpy(dtype=float)[:, None] for name in forecast.history}
    known = {name: np.array([value]) for name, value in values.items()}
    alive = forecast.alive(history, known)
    silent = forecast.pmf(0, gap, history, known)
    expected = 1 - (1 - alive) / silent
    now = forecast.alive(history | {"T": history["T"] + gap}, known)
    here = flow["pair"].sum("to_segment").sel(from_segment="here").to_numpy()
    # 15 numbers, 4.5 standard errors of a share of ``size`` draws: one chance in 10,000 of a false alarm.
    error = 4.5 * np.sqrt(np.maximum(expected * (1 - expected), 1e-3) / size)[:, 0]
    assert (np.abs(here - expected[:, 0]) < error).all()
    assert (np.abs(flow["pair"].sum("from_segment").sel(to_segment="here") - now[:, 0]) < error + 0.01).all()
    assert (flow["pair"].sel(from_segment="gone", to_segment="here") == 0).all()
    assert (expected - now > 0.02).any(), "nobody left between the dates: the test shows nothing"


def simulated(rng, family, size, first=26.0, gap=20.0):
    """Customers of known rates, purchase by purchase: tables at two dates, and the truth about both."""
    of = MBG if family == "mbg_nbd" else PARETO
    age = rng.uniform(5, first, size).round(3)
    end = age + gap
    rate = rng.gamma(of["r"], 1 / of["alpha"], size)
    if family == "mbg_nbd":
        dropout = rng.beta(of["a"], of["b"], size)
        life = np.full(size, np.inf)
        here = rng.random(size) >= dropout
        alive = [here.copy(), here.copy()]
    else:
        dropout = np.zeros(size)
        life = rng.exponential(1 / rng.gamma(of["s"], 1 / of["beta"], size))
        here = np.ones(size, dtype=bool)
        alive = [life > age, life > end]
    now = np.zeros(size)
    seen = [{name: np.zeros(size) for name in ("frequency", "recency")} for _ in range(2)]
    while here.any():
        now = now + rng.exponential(1 / rate)
        here &= now <= np.minimum(end, life)
        leaves = rng.random(size) < dropout
        for side, until in enumerate((age, end)):
            inside = here & (now <= until)
            seen[side]["frequency"] += inside
            seen[side]["recency"] = np.where(inside, now, seen[side]["recency"])
            alive[side] &= ~(inside & leaves)
        here &= ~leaves
    tables, truth = [], []
    for side, until in enumerate((age, end)):
        columns = {"customer_id": [f"c{i:04d}" for i in range(size)], **seen[side], "T": until}
        tables.append(clv.customers.from_table(pd.DataFrame(columns), time_unit="week"))
        known = {"alive": alive[side].astype(float), "purchase_rate": rate, "frequency": columns["frequency"]}
        known["time_since_purchase"] = until - columns["recency"]
        truth.append(clv.segments.points(known, STAGES))
    bought = seen[1]["frequency"] > seen[0]["frequency"]
    return tables, truth, bought


def real_flow(flow, first, second, bought):
    to = np.where((first == "lapsed") & bought & np.isin(second, ["repeat", "loyal"]), "won back", second)
    counted = pd.crosstab(first, to)
    index, columns = flow["from_segment"].values, flow["to_segment"].values
    return counted.reindex(index=index, columns=columns, fill_value=0).to_numpy()


def held(flows, real):
    """Share of pairs whose interval holds the truth less the share that was promised, and the mean's surplus."""
    mean, low, high = (flows[f"flow_{each}"].to_numpy() for each in ("mean", "q05", "q95"))
    some = mean >= 1
    promised = ((flows["flow"] >= low) & (flows["flow"] <= high)).mean("draw").to_numpy()
    covered = (real >= low) & (real <= high)
    return (covered - promised)[some].mean(), covered[some].mean(), real - mean


def check_held(bases, least):
    """Over bases: what the intervals hold is what they promise, and no mean is off, by 4 standard errors."""
    gap, covered, surplus = (np.array(each) for each in zip(*bases, strict=True))
    error = gap.std(ddof=1) / np.sqrt(len(bases))
    assert abs(gap.mean()) < 4 * error, (gap.mean(), error)
    assert covered.mean() > least
    sd = surplus.std(axis=0, ddof=1)
    # A pair seen in few bases has no usable standard error; 1 customer in all the bases is one.
    z = surplus.mean(axis=0) / np.maximum(sd, 1 / np.sqrt(len(bases))) * np.sqrt(len(bases))
    assert np.abs(z).max() < 4.5, z.round(1)


@pytest.mark.parametrize("known", ["now", "then"])
@pytest.mark.parametrize("family", ["mbg_nbd", "pareto_nbd"])
def test_the_intervals_hold_the_true_flow(family, known, make_posterior):
    """With the population known exactly, so that no fit stands between: 30 bases of 150 customers, some 15 pairs each.

    A base's mean gap has an sd of some 0.1, so that 30 bases see a miss of 0.08 of the promised 0.90 to 0.95.
    """
    of = MBG if family == "mbg_nbd" else PARETO
    posterior = make_posterior(family, of, sd=0.0, chains=1, draws=200)
    bases = []
    for seed in range(30):
        tables, (first, second), bought = simulated(np.random.default_rng(seed), family, 150)
        draws = [clv.simulate(posterior, each, draws=200, seed=seed) for each in tables]
        flow = clv.segments.flow(*draws, STAGES, known=known)
        if known == "then":
            first = clv.segment(draws[0], STAGES)["most_likely"].to_numpy()
        bases.append(held(flow, real_flow(flow, first, second, bought)))
    check_held(bases, least=0.85)


@pytest.mark.full
@pytest.mark.parametrize("known", ["now", "then"])
def test_the_intervals_hold_the_true_flow_after_a_fit(known):
    """The whole road, with a posterior of each date's own customers: 20 bases of 600 customers."""
    bases = []
    for seed in range(20):
        tables, (first, second), bought = simulated(np.random.default_rng(100 + seed), "mbg_nbd", 600)
        fits = [clv.fit("mbg_nbd", each, method="laplace", draws=400, seed=seed) for each in tables]
        draws = [
            clv.simulate(fit, each, draws=400, seed=seed) for fit, each in zip(fits, tables, strict=True)
        ]
        flow = clv.segments.flow(*draws, STAGES, known=known)
        if known == "then":
            first = clv.segment(draws[0], STAGES)["most_likely"].to_numpy()
        bases.append(held(flow, real_flow(flow, first, second, bought)))
    # Flows of one base share its posterior, so that its gaps vary more together than above.
    check_held(bases, least=0.8)


def test_independent_draws_of_the_two_dates_would_overstate_the_flow(make_posterior):
    """What the module rejects, on silent customers: the dead come back in it, and never in the flow."""
    posterior = make_posterior("mbg_nbd", MBG, sd=0.0, chains=1, draws=400)
    table = {"frequency": np.full(100, 3), "recency": np.full(100, 20.0)}
    both = [
        clv.customers.from_table(
            pd.DataFrame({"customer_id": [f"c{i:03d}" for i in range(100)], **table, "T": age}),
            time_unit="week",
        )
        for age in (np.full(100, 30.0), np.full(100, 36.0))
    ]
    draws = [clv.simulate(posterior, each, draws=400, seed=seed) for seed, each in enumerate(both)]
    kinds = clv.rule("alive", {"here": "alive == 1", "gone": "alive == 0"})
    flow = clv.segments.flow(*draws, kinds)
    assert (flow["flow"].sel(from_segment="gone", to_segment="here") == 0).all()
    (first,), (second,) = (gathered(each, "alive") for each in draws)
    assert ((first == 0) & (second == 1)).sum(axis=0).mean() > 10


def test_what_does_not_continue_is_refused(draws, dates, make_posterior):
    posterior = make_posterior("mbg_nbd", MBG, sd=0.1, chains=1, draws=20)

    def of(customers):
        return clv.simulate(posterior, customers, draws=20, seed=1)

    before, after = dates
    five = before["customer"].values[:5]
    fewer = after.assign(frequency=after["frequency"] * 0, recency=after["recency"] * 0)
    silent = before.assign(recency=before["recency"] * 0.5)
    # A purchase more for those who were silent on the first date, but dated before it.
    slept = before["customer"].values[(before["T"] - before["recency"] > 1).values]
    slept = after["customer"].isin(slept) & (after["T"] - after["recency"] > 27)
    moved = after.assign(frequency=after["frequency"] + slept, recency=after["recency"] + 0.1 * slept)
    in_days = clv.simulate(
        make_posterior("mbg_nbd", MBG, sd=0.1, chains=1, draws=20, time_unit="day"),
        before.assign_attrs(time_unit="day"),
        draws=20,
        seed=1,
    )
    for first, second, message in (
        (
            before,
            after.drop_sel(customer=five),
            r"5 of 222 customers of the first date are missing.*such as 'c\d+'",
        ),
        (before.drop_sel(customer=five), after, r"5 customers first bought before the first date.*'c\d+'"),
        (before, before, r"222 of 222 customers are not older at the second date"),
        (before, fewer, r"\d+ of 222 customers have fewer purchases"),
        (silent, after, r"later last purchase without a further one"),
        (before, moved, r"further purchase whose date is before the first date"),
    ):
        with pytest.raises(clv.InputError, match=message):
            clv.segments.flow(of(first), of(second), STAGES)
    with pytest.raises(clv.InputError, match="earlier customers are in units of 'day', the later in 'week'"):
        clv.segments.flow(in_days, of(after), STAGES)
    days = clv.segments.flow
    with pytest.raises(clv.InputError, match="known='soon' is not known"):
        days(*draws, STAGES, known="soon")
    with pytest.raises(clv.InputError, match="names the segment 'away'; rule 'Lifecycle' has"):
        days(*draws, STAGES, won_back=(("away",), ("loyal",)))
    with pytest.raises(clv.InputError, match="as lost and as active"):
        days(*draws, STAGES, won_back=(("loyal",), ("loyal",)))
    with pytest.raises(clv.InputError, match="segment 'prospect', a name that the flow"):
        days(*draws, clv.rule("x", {"prospect": "frequency == 0", "b": None}))
    with pytest.raises(clv.InputError, match=r"'purchases' is the future as seen from a date.*known='then'"):
        days(*draws, clv.rule("x", {"a": "purchases == 0", "b": None}))
    with pytest.raises(clv.InputError, match="'probability_alive' is what is known at a date"):
        days(*draws, clv.rule("x", {"a": "probability_alive > 0.5", "b": None}))
    # Both can be asked of what was said then.
    found = days(*draws, clv.rule("x", {"a": "purchases == 0", "b": None}), known="then")
    assert found.attrs["level"] == "outcome"
    later = of(after.assign(age=("customer", np.arange(after.sizes["customer"]))))
    with pytest.raises(clv.InputError, match="'age' is not a column of the customers of the first date"):
        days(of(before), later, clv.rule("x", {"a": "age > 3", "b": None}))
