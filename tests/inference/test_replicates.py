"""Replicated bases as ArviZ takes them: its own figures draw them, and count what the fit counted."""

import arviz as az
import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")

import matplotlib.pyplot as plt

import bayes_clv as clv


@pytest.fixture(scope="module")
def customers():
    return clv.summarize(clv.load_cdnow(), until="1997-09-30").isel(customer=slice(300))


@pytest.mark.parametrize(("family", "checked"), [("bg_nbd", "frequency"), ("gamma_gamma", "monetary_value")])
def test_arviz_draws_what_the_fit_replicated(customers, family, checked):
    fitted = clv.fit(
        family,
        customers,
        method="laplace",
        draws=50,
        include=("posterior_predictive",),
        seed=1,
        progress=False,
    )
    found = clv.inference.replicates(fitted, draws=20)
    real, drawn = found["observed_data"][checked], found["posterior_predictive"][checked]
    assert dict(drawn.sizes) == {"chain": 4, "draw": 5, "customer": real.size}
    classes = fitted["observed_data"][f"{checked}_class"].to_numpy()
    kept = fitted["posterior_predictive"][f"customers_by_{checked}"].sel(draw=drawn["draw"]).to_numpy()
    assert (np.array([(real == each).sum() for each in classes])).tolist() == fitted["observed_data"][
        f"customers_by_{checked}"
    ].to_numpy().tolist()
    assert (np.stack([(drawn == each).sum("customer") for each in classes], axis=-1) == kept).all()
    # Nothing pairs a customer with a forecast of its own.
    assert (np.diff(real.to_numpy()) < 0).any()
    drawings = [az.plot_ppc_dist(found, kind="ecdf", num_samples=20), az.plot_ppc_tstat(found, t_stat="mean")]
    if checked == "frequency":
        drawings.append(az.plot_ppc_rootogram(found))
    assert all(len(each.viz["figure"].item().axes) >= 1 for each in drawings)
    plt.close("all")


def test_a_fit_without_replicates_says_how_to_have_them(customers):
    plain = clv.fit("bg_nbd", customers, method="mode", priors="flat", seed=1, progress=False)
    with pytest.raises(clv.InputError, match=r"Fit with include=\('posterior_predictive',\)"):
        clv.inference.replicates(plain)
