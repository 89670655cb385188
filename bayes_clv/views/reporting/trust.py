"""The section of the report on how far to trust it: the holdout, simple rules, and what the model itself would make."""

import math
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.language import joined, say, say_kept
from bayes_clv.schema import UNSTATED, listed
from bayes_clv.scoring.measures import record
from bayes_clv.views import numbers
from bayes_clv.views.plots import criticism, holdout
from bayes_clv.views.reporting import cells as tables
from bayes_clv.views.reporting import verdicts
from bayes_clv.views.reporting.gallery import Figure, Gallery


def holdout_section(gallery: Gallery, evaluation: xr.Dataset | None) -> dict[str, Any] | None:
    """Return the first model on the holdout: scores by frequency, and calibration."""
    if evaluation is None:
        return None
    model, unit = evaluation.isel(forecast=0), str(evaluation.attrs.get("time_unit", UNSTATED))
    cells = [
        [tables.cell(str(name)) for name in model["frequency"].to_numpy()],
        *(
            tables.column(model[f"{name}_by_frequency"].to_numpy().tolist())
            for name in ("customers", "observed", "predicted")
        ),
        *(
            [
                tables.cell(each, numbers.share(each))
                for each in model[f"{key}_by_frequency"].sel(interval=level).to_numpy().tolist()
            ]
            for level in (50, 90)
            for key in ("covered", "promised")
        ),
    ]
    rows = [list(row) for row in zip(*cells, strict=True)]
    columns = [
        tables.Column(say("frequency"), number=False),
        tables.Column(say("customers")),
        tables.Column(say("mean purchases, observed")),
        tables.Column(say("predicted"), level="outcome"),
        tables.Column(say("inside 50 %"), level="outcome"),
        tables.Column(say("promised"), level="outcome"),
        tables.Column(say("inside 90 %"), level="outcome"),
        tables.Column(say("promised"), level="outcome"),
    ]
    return {
        "text": joined(
            "{first} {second}",
            [
                say(
                    "The forecast of the {horizon} after calibration, beside what happened.",
                    horizon=numbers.plural(evaluation.attrs["horizon"], unit),
                ),
                _errors(model),
                _covered_words(model),
            ],
        ),
        "totals": _totals_table(evaluation),
        "table": tables.Table(
            "holdout-table", say("Holdout by repeat purchases in calibration."), columns, rows
        ),
        "figures": [
            gallery.add(
                "calibration",
                partial(holdout.plot_calibration, evaluation),
                say(
                    "Left: bars that end in the amber band mean that outcomes fall anywhere in their forecasts equally "
                    "often; high ends would mean forecasts too narrow. Right: dots should lie at the dashes, the share "
                    "that the forecast itself promised (whole numbers of purchases cannot give exactly 90 %)."
                ),
                "outcome",
            ),
            gallery.add(
                "retention",
                partial(criticism.plot_retention, evaluation),
                say(
                    "Each dot is a tenth of the customers, by the chance of buying that was forecast for them. Dots "
                    "should lie on the blue lines: above them are customers who were given up too early, below them "
                    "customers who were counted on too long. Beside them, where there are any, are those who were "
                    "given under 3 %."
                ),
                "outcome",
            )
            if "retention_predicted_by_tenth" in evaluation
            else None,
            gallery.add(
                "conditional-expectation",
                partial(criticism.plot_conditional_expectation, evaluation),
                say(
                    "What customers with as many purchases before bought in the holdout, and what was forecast for "
                    "them. The lines should meet where a class holds many customers (the numbers below the axis)."
                ),
                "outcome",
            ),
        ],
    }


def _covered_words(model: xr.Dataset) -> str:
    """Return how many customers lie inside their own intervals."""
    covered, promised = (float(model[name].sel(interval=90)) for name in ("covered", "promised"))
    return say(
        "{covered} of customers bought a number inside their own 90 % interval, where the forecast promised "
        "{promised}.",
        covered=numbers.share(covered),
        promised=numbers.share(promised),
    )


def _errors(model: xr.Dataset) -> str:
    """Return the errors per customer of purchases, and of spend where it is scored."""
    told = {name: numbers.number(float(model[name])) for name in ("mae", "crps")}
    if "spend_crps" not in model or not np.isfinite(model["spend_crps"]):
        return say(
            "Per customer, the mean absolute error of the mean is {mae} purchases and the CRPS {crps} (smaller is "
            "better).",
            **told,
        )
    currency = model.attrs.get("currency")
    told |= {name: numbers.money(float(model[name]), currency) for name in ("spend_mae", "spend_crps")}
    if currency:
        return say(
            "Per customer, the mean absolute error of the mean is {mae} purchases and the CRPS {crps} (smaller is "
            "better); of spend they are {spend_mae} and {spend_crps}.",
            **told,
        )
    return say(
        "Per customer, the mean absolute error of the mean is {mae} purchases and the CRPS {crps} (smaller is "
        "better); of spend they are {spend_mae} and {spend_crps}, in the unit of the spend column.",
        **told,
    )


def _totals_table(evaluation: xr.Dataset) -> tables.Table:
    """Return the totals of the holdout beside their forecast."""
    found = verdicts.totals(record(evaluation))
    words = {
        "inside": say("inside"),
        "above": say("outside: above"),
        "below": say("outside: below"),
    }
    rows = [
        [
            tables.cell(each.what),
            tables.cell(each.observed, each.written(each.observed)),
            tables.cell(each.mean, each.written(each.mean)),
            tables.cell(each.low, each.interval),
            tables.cell(each.direction, words[each.direction]),
        ]
        for each in found
    ]
    columns = [
        tables.Column(say("total of all customers"), number=False),
        tables.Column(say("real")),
        tables.Column(say("forecast, mean"), level="outcome"),
        tables.Column(say("90 % interval"), level="outcome"),
        tables.Column(say("the real total lies"), number=False),
    ]
    return tables.Table("holdout-totals", say("Totals of the holdout beside their forecast."), columns, rows)


def against_rules(gallery: Gallery, evaluation: xr.Dataset | None) -> dict[str, Any] | None:
    """Return the model beside simple rules on the holdout."""
    if evaluation is None or not (evaluation["kind"] == "rule").any():
        return None
    measures = ("crps", "log_score", "mae", "rmse", "total_error", "concordance")
    absent = np.full(evaluation.sizes["forecast"], np.nan)
    columns = {name: evaluation[name].to_numpy() if name in evaluation else absent for name in measures}
    columns["top"] = evaluation["captured"].sel(share=0.1, method="nearest").to_numpy()
    shares = ("total_error", "concordance", "top")
    cells = [
        [tables.cell(_in_words(name)) for name in evaluation["forecast"].to_numpy()],
        *(
            [tables.cell(float(v), "–" if np.isnan(v) else numbers.share(float(v))) for v in values]
            if name in shares
            else [
                tables.cell(float(v), "∞") if np.isinf(v) else cell
                for v, cell in zip(values, tables.column(values), strict=True)
            ]
            for name, values in columns.items()
        ),
    ]
    labels = (
        "CRPS",
        say("log score"),
        say("mean absolute error"),
        say("root mean square"),
        say("total, error"),
        say("pairs ranked right"),
    )
    return {
        "text": _verdict(evaluation),
        "reasons": [say_kept(reason.replace("_", " ")) for reason in listed(evaluation.attrs, "reasons")],
        "table": tables.Table(
            "against-rules-table",
            say(
                "Model and simple rules on the holdout (outcome level): of the first four the smaller is better, of "
                "the last two the larger."
            ),
            [
                tables.Column(say("forecast"), number=False),
                *(tables.Column(label) for label in labels),
                tables.Column(say("purchases of the best ranked 10 %")),
            ],
            [list(row) for row in zip(*cells, strict=True)],
        ),
        "figure": gallery.add(
            "evaluation",
            partial(holdout.plot_evaluation, evaluation),
            say(
                "Left: a blue dot left of the dashed line is a measure on which the model beats every simple rule. "
                "Right: the higher a line, the more of what was really bought belongs to the customers it ranks first."
            ),
            "outcome",
        ),
    }


def _verdict(evaluation: xr.Dataset) -> str:
    """Return whether a rule's forecasts were better than the model's, by CRPS and beyond chance."""
    rules = evaluation["forecast"].to_numpy()[evaluation["kind"].to_numpy() == "rule"]
    judged = []
    for name in rules:
        if "crps_worse" not in evaluation:
            continue
        worse = float(evaluation["crps_worse"].sel(forecast=name))
        error = (
            float(evaluation["crps_worse_se"].sel(forecast=name)) if "crps_worse_se" in evaluation else np.nan
        )
        if math.isfinite(worse):
            judged.append((worse, error, str(name)))
    if not judged:
        return say("No simple rule forecasts purchases here, so that only rankings can be compared.")
    worse, error, name = min(judged)
    told = {"rule": _in_words(name), "worse": numbers.number(worse), "error": numbers.number(error)}
    if worse > 2 * error:
        return say(
            "The best simple rule by CRPS is the {rule}: its CRPS less the model's is {worse} purchases a customer "
            "(standard error {error}), so the model's forecasts are better, by more than chance.",
            **told,
        )
    if worse < -2 * error:
        return say(
            "The best simple rule by CRPS is the {rule}: its CRPS less the model's is {worse} purchases a customer "
            "(standard error {error}), so the rule's forecasts are better, by more than chance: do not use the model's "
            "without finding out why.",
            **told,
        )
    return say(
        "The best simple rule by CRPS is the {rule}: its CRPS less the model's is {worse} purchases a customer "
        "(standard error {error}), so which of the two is better is within chance.",
        **told,
    )


def _in_words(forecast: object) -> str:
    """Return what a forecast is called: the model, or a simple rule."""
    return say(str(forecast).replace("_", " "))


def predictive_check(gallery: Gallery, buying: xr.DataTree) -> Figure | None:
    """Return purchases per customer beside replicated bases; None for a posterior that carries none."""
    if not criticism.has_replicates(buying):
        return None
    return gallery.add(
        "purchases-per-customer",
        partial(criticism.plot_purchases_per_customer, buying),
        say(
            "Left: how many customers bought how often, and how many would in bases that the model makes. Right: the "
            "same as a ratio; a cross is a class of customers that the model does not make, and what it says of them "
            "is to be doubted."
        ),
        "outcome",
    )
