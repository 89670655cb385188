"""Family and drift, where nothing is said: chosen by the stated rule, said everywhere, and used by what follows."""

import dataclasses
import html
import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import bayes_clv as clv
from bayes_clv.cli import app
from bayes_clv.families import family
from bayes_clv.schema import InputError
from bayes_clv.scoring import choosing
from bayes_clv.views.reporting.fits import habits
from bayes_clv.views.reporting.gallery import Gallery
from bayes_clv.workflows.deciding import draws_of
from bayes_clv.workflows.settings import Settings, check_settings, families_of, open_choice


def simulated(name: str, size: int, seed: int, weeks: float = 52.0, **values: float):
    """Return customers of a family, who came over the first quarter, and what each bought."""
    rng = np.random.default_rng(seed)
    T = weeks - rng.integers(0, 7 * int(weeks) // 4, size) / 7
    who, when = family(name).forecast.times(rng, {"T": T}, {k: np.full(size, v) for k, v in values.items()})
    times = [when[who == i] for i in range(size)]
    table = pd.DataFrame({"T": T, "purchase_times": times, "frequency": [each.size for each in times]})
    table["recency"] = [each[-1] if each.size else 0.0 for each in times]
    return clv.customers.from_table(table, time_unit="week")


@pytest.fixture(scope="module")
def changing():
    """300 customers whose rates forget half within 13 weeks of a year."""
    kappa = np.log(2) / 13
    return simulated("bg_nbd_drift", 300, 1, r=1.0, alpha=4.0, kappa=kappa, a=0.5, b=10.0)


def test_of_buyers_of_one_purchase_those_who_leave_at_once_are_found():
    """97.5 % buy once; bg_nbd forecasts half as much again as they buy (see docs/families.md)."""
    customers = simulated("mbg_nbd", 10_000, 2, r=1.0, alpha=5.0, a=3.0, b=0.1)
    assert 0.97 < float((customers["frequency"] == 0).mean()) < 0.98
    chosen = clv.scoring.choose_family(
        customers, families=["bg_nbd", "mbg_nbd"], extensions=(), draws=50, seed=1
    )
    assert chosen.attrs["family"] == "mbg_nbd"
    assert chosen.loc["bg_nbd", "verdict"] == "worse for customers left out"


# The rule, on made-up differences.


@pytest.mark.parametrize(
    ("elpd", "crps", "holds", "taken"),
    [
        ((10.0, 3.0), (0.0, 1.0), True, True),
        ((3.0, 1.0), (0.0, 1.0), True, False),  # fewer than 4 nats
        ((10.0, 6.0), (0.0, 1.0), True, False),  # less than two standard errors
        ((0.0, 1.0), (3.0, 1.0), True, True),
        ((10.0, 3.0), (-3.0, 1.0), True, False),
        ((-10.0, 3.0), (3.0, 1.0), True, False),
        ((10.0, 3.0), (0.0, 1.0), False, False),
    ],
)
def test_an_extension_is_taken_where_it_gains_and_harms_nothing(monkeypatch, elpd, crps, holds, taken):
    table = pd.DataFrame(
        {
            "elpd": [elpd[0] - 100.0, -100.0],
            "elpd_diff": [0.0, -abs(elpd[0])],
            "dse": [0.0, elpd[1]],
            "high_k_customers": 0,
        },
        index=["more", "less"],
    )
    monkeypatch.setattr(choosing, "compare", lambda _each: table)
    gains = {"crps": crps, "retention_log_score": (0.0, 1.0)}
    monkeypatch.setattr(choosing, "_gain", lambda one, other: gains[one.tolist()[0]])
    scores = {name: np.array([name], dtype=object) for name in choosing.SCORES}
    monkeypatch.setattr(choosing, "_row", row_of(gains, holds))
    less, more = (choosing._Tried(name, None, scores, holds) for name in ("less", "more"))
    assert (choosing._extension(less, more)["verdict"] == choosing.TAKEN) == taken


def row_of(gains: dict, holds: bool):
    def row(_one, _against, elpd):
        scores = {f"{name}_gain": gain for name, (gain, _) in gains.items()}
        return elpd | scores | {f"{name}_se": error for name, (_, error) in gains.items()} | {"holds": holds}

    return row


# What is compared.


def test_the_last_quarter_is_what_the_orders_say(cdnow):
    """The customers as summarize returns them of the same day, and what they bought after it."""
    customers = clv.summarize(clv.load_cdnow(), until="1997-09-30", also=("purchase_times",))
    earlier = choosing._earlier(customers)
    assert earlier.attrs["holdout_duration"] == pytest.approx(68 / 7)
    theirs = clv.summarize(
        clv.load_cdnow(), until="1997-07-24", holdout_until="1997-09-30", also=("purchase_times",)
    )
    for name in ("frequency", "recency", "T", "holdout_purchases"):
        np.testing.assert_allclose(earlier[name], theirs[name], atol=1e-9, err_msg=name)
    assert earlier["customer"].to_numpy().tolist() == theirs["customer"].to_numpy().tolist()


def test_of_a_large_base_a_sample_is_compared(monkeypatch, changing):
    assert choosing._sample(changing, 1)[1] is False
    monkeypatch.setattr(choosing, "MOST_PURCHASES", int(changing["frequency"].sum()) // 2)
    monkeypatch.setattr(choosing, "FEWEST_CUSTOMERS", 10)
    drawn, sampled = choosing._sample(changing, 1)
    assert (sampled, drawn.sizes["customer"]) == (True, 149)
    assert choosing._sample(changing, 1)[0].identical(drawn)
    assert not choosing._sample(changing, 2)[0].identical(drawn)


def test_without_purchase_times_nothing_is_chosen(cdnow):
    with pytest.raises(InputError, match=r"also=\('purchase_times',\)"):
        clv.scoring.choose_family(cdnow, seed=1)


# What the settings leave open.


@pytest.mark.parametrize(
    ("given", "among", "tried"),
    [
        ({}, ["bg_nbd", "mbg_nbd", "pareto_nbd"], ["drift"]),
        ({"drift": False}, ["bg_nbd", "mbg_nbd", "pareto_nbd"], []),
        ({"drift": False, "returns": False}, ["bg_nbd", "mbg_nbd", "pareto_nbd"], []),
        ({"family": "mbg_nbd"}, ["mbg_nbd"], ["drift"]),
        ({"family": "pareto_nbd"}, ["pareto_nbd"], ["drift"]),
        ({"family": "mbg_nbd", "returns": True}, [], []),
        ({"family": "mbg_nbd", "drift": True}, [], []),
        ({"family": "bg_nbd", "drift": False, "returns": False}, [], []),
        ({"family": "pareto_ggg"}, [], []),
        ({"posteriors": "somewhere"}, [], []),
        ({"covariates": {"population_dropout": ["age"]}}, ["bg_nbd", "mbg_nbd"], ["drift"]),
    ],
)
def test_what_is_left_open(given, among, tried):
    assert open_choice(Settings(orders="orders.csv", **given)) == (among, tried)


def test_drift_that_is_asked_for_leaves_families_that_drift():
    among, tried = open_choice(Settings(orders="orders.csv", drift=True))
    assert {"bg_nbd", "mbg_nbd"} <= set(among)
    assert tried == []
    assert families_of(Settings(orders="o", family="mbg_nbd", drift=True))["buying"] == "mbg_nbd_drift"


def test_returns_that_are_asked_for_leave_families_that_have_them_and_try_no_drift():
    settings = Settings(orders="orders.csv", returns=True)
    assert open_choice(settings) == (["bg_nbd", "mbg_nbd"], [])
    assert families_of(Settings(orders="o", family="bg_nbd", returns=True))["buying"] == "bg_nbd_returns"
    with pytest.raises(InputError, match="has no form with returns"):
        check_settings(Settings(orders="o", family="pareto_nbd", returns=True))
    with pytest.raises(InputError, match="drift.*returns.*are two models"):
        check_settings(Settings(orders="o", drift=True, returns=True))


# The run.


@pytest.fixture(scope="module")
def done(changing, tmp_path_factory):
    """One run in which nothing is said of drift."""
    folder = tmp_path_factory.mktemp("choosing")
    start = np.datetime64("2025-01-01")
    size = changing["frequency"].to_numpy()
    first = start + np.round((52 - changing["T"].to_numpy()) * 7).astype(int) * np.timedelta64(1, "D")
    ids = np.repeat(changing["customer"].to_numpy(), size)
    own = np.concatenate(
        [
            changing["purchase_times"].to_numpy()[at : at + n]
            for at, n in zip(changing["purchase_start"].to_numpy(), size, strict=True)
        ]
    )
    repeats = np.repeat(first, size) + np.ceil(own * 7).astype(int) * np.timedelta64(1, "D")
    log = pd.DataFrame(
        {"customer_id": np.r_[changing["customer"].to_numpy(), ids], "date": np.r_[first, repeats]}
    )
    log.to_csv(folder / "orders.csv", index=False)
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(Gallery, "add", lambda *_, **__: None)
    words = ["run", folder / "orders.csv", "--purchases-only", "--horizon", "13 weeks", "--method", "laplace"]
    words += ["--family", "bg_nbd", "--draws", "50", "--out", folder / "out"]
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    monkeypatch.undo()
    assert result.exit_code == 0, result.stderr
    return folder / "out", result.stdout


def test_the_choice_is_said_everywhere(done):
    out, printed = done
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    choice = record["choice"]
    row = choice["candidates"]["bg_nbd_drift"]
    assert choice["chosen"] == "bg_nbd_drift"
    assert row["elpd_gain"] > max(4, 2 * row["elpd_se"])
    assert choice["candidates"]["bg_nbd"]["elpd"] == pytest.approx(row["elpd"] - row["elpd_gain"])
    assert "Rates that drift (bg_nbd_drift) are taken: customers left out" in choice["reason"]
    assert f"told better by +{row['elpd_gain']:.1f} ± " in choice["reason"]
    assert record["diagnostics"]["buying"]["family"] == choice["chosen"]
    assert (record["arguments"]["family"], record["arguments"]["drift"]) == ("bg_nbd", True)
    page = html.unescape((out / "report.html").read_text(encoding="utf-8"))
    for said in (f"Chosen: {choice['reason']}", record["habits"]):
        assert said in page
        assert said in printed
    assert record["habits"].startswith("Customers' own habits have a half-life of")


@pytest.mark.parametrize("words", [["segment", "--rule", "lifecycle"], ["alarms"]])
def test_what_goes_on_from_the_run_takes_its_family(done, tmp_path, words):
    name, *further = words
    given = [name, done[0], *further, "--out", tmp_path / "list.csv"]
    result = CliRunner().invoke(app, [str(word) for word in given], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "list.csv").exists()


# The sentence on habits.


@pytest.mark.parametrize(
    ("weeks", "said"),
    [
        (26.0, "Customers' own habits have a half-life of 26"),
        (125.0, "Customers' own habits have a half-life of 2.4"),
        (1.0, "Customers' own habits have a half-life of 7"),
        (600.0, "No sign that customers' own habits change: their half-life is 11.5"),
    ],
)
def test_the_half_life_in_words(make_posterior, changing, weeks, said):
    tree = make_posterior("bg_nbd_drift", {"rate_half_life": weeks}, sd=0.0, chains=1, draws=20)
    words = habits(tree, changing)
    assert words.startswith(said), words
    assert "prior" not in words
    assert habits(make_posterior("bg_nbd", {"r": 1.0}, sd=0.0, chains=1, draws=4), changing) is None


@pytest.mark.parametrize(
    ("sd", "said"),
    [
        (0.2, "About 1 % of that is the prior's (90 % between"),
        (1.0, "About 25 % of that is the prior's"),
        (2.0, "hardly more than the prior"),
    ],
)
def test_how_much_of_the_half_life_is_the_priors(make_posterior, changing, sd, said):
    tree = make_posterior("bg_nbd_drift", {"rate_half_life": 104.0}, sd=1.0, chains=1, draws=4000)
    values = tree["posterior"]["rate_half_life"].to_numpy()
    exact = np.log(values) - np.log(values).mean()
    values[:] = 104.0 * np.exp(sd * exact / exact.std())
    tree.attrs["priors"] = json.dumps({"rate_half_life": ["LogNormal", {"mu": 5.6, "sigma": 2.0}]})
    assert said in habits(tree, changing)


def test_sleep_in_words(make_posterior, changing):
    short = make_posterior("bg_nbd_returns", {"mean_sleep": 13.0}, sd=0.0, chains=1, draws=20)
    assert habits(short, changing).startswith(
        "A customer who falls silent is asleep, and wakes after 13 weeks (90 %:"
    )
    longer = make_posterior("bg_nbd_returns", {"mean_sleep": 520.0}, sd=0.0, chains=1, draws=20)
    assert "in the mean, longer than the 5" in habits(longer, changing)


def test_with_covariates_the_rule_makes_no_choice(changing):
    from bayes_clv.workflows.deciding import decide_family
    from bayes_clv.workflows.stages import Stages

    customers = changing.assign(age=("customer", np.linspace(20.0, 60.0, changing.sizes["customer"])))
    given = Settings(orders="orders.csv", covariates={"purchase": ["age"]}, spend=None)
    settings, choice = decide_family(given, customers, Stages(lambda *_: None))
    assert (settings.family, settings.drift, settings.returns) == ("bg_nbd", False, False)
    assert choice["reason"].startswith(
        "bg_nbd, the first of bg_nbd, mbg_nbd, pareto_nbd, by default and not by the rule"
    )
    one = Settings(orders="orders.csv", covariates={"purchase": ["age"]}, spend=None, family="mbg_nbd")
    settings, choice = decide_family(one, customers, Stages(lambda *_: None))
    assert (settings.family, settings.drift) == ("mbg_nbd", False)
    assert choice["reason"].startswith("mbg_nbd as it is, by default")


def test_of_several_extensions_the_one_that_gains_most_is_taken(monkeypatch, changing):
    monkeypatch.setattr(choosing, "_tried", lambda name, *_: choosing._Tried(name, None, {}, True))
    gains = {"bg_nbd_drift": 8.0, "bg_nbd_returns": 20.0}

    def row(base, extended):
        return {"elpd": -80.0, "elpd_gain": gains[extended.name], "verdict": choosing.TAKEN} | {
            "elpd_se": 2.0,
            "crps_gain": np.nan,
        }

    monkeypatch.setattr(choosing, "_extension", row)
    chosen = clv.scoring.choose_family(changing, families=["bg_nbd"], seed=1)
    assert chosen.attrs["family"] == "bg_nbd_returns"
    assert chosen.loc["bg_nbd", "verdict"] == "left for its extension"
    # There is no pareto_nbd with returns.
    chosen = clv.scoring.choose_family(changing, families=["bg_nbd"], extensions=["drift"], seed=1)
    assert chosen.attrs["family"] == "bg_nbd_drift"


@pytest.mark.parametrize(
    ("customers", "method", "draws"),
    [
        (1, "laplace", 1000),
        (250_000, "laplace", 1000),
        (500_000, "laplace", 500),
        (1_000_000, "laplace", 250),
        (10_000_000, "laplace", 250),
        (1_000_000, "nuts", 1000),
    ],
)
def test_a_forecast_of_very_many_customers_has_fewer_draws(customers, method, draws):
    settings = Settings("orders.csv", method=method)
    assert draws_of(settings, customers) == draws
    assert draws_of(dataclasses.replace(settings, draws=2000), customers) == 2000
