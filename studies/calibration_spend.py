"""Is inference calibrated where spend moves with its customer: calibration by simulation of these families.

Question
    That of ``calibration``, whose loop this is, of lognormal spend with a trend by age, with a trend and a level that
    drifts, and of Gamma-Gamma with a trend: is the truth one of the posterior draws? By laplace, 120 bases of each.
Pass rule, stated before the run
    That of ``calibration``: no quantity or parameter has p below 0.05 / (number of rows), flagged fits included, and
    draws made 5 % too large are caught in every family.

A base has 200 customers aged 26 to 78 weeks, with frequencies as they are and ages at their purchases by chance; the
trend ends at 78 weeks. Priors are the defaults. Laplace makes 400 draws from 600 proposals.

What was found
    On 2026-11-30: the rule is met. None of 21 rows lies outside its own 95 % band (the lowest p is .073, of
    Gamma-Gamma's q), no fit is refused and 1 % are flagged. Draws 5 % too large are caught in every family; not of
    the share that drifts and its half-life, whose posteriors are too wide for that.

Run all with ``uv run python -m studies.calibration_spend``; options, records and ``--judge`` are those of
``calibration``.
"""

from studies import calibration
from studies.ranks import command

SIMULATIONS = 120
RECORDS = calibration.RECORDS.with_name("calibration_spend")


def main() -> None:
    """Simulate what is missing, judge, draw; exit with 1 where the pass rule fails."""
    command(
        "Simulation-based calibration of the families of spend that moves.",
        list(calibration.SPENDING),
        lambda family, method, size: calibration.records(family, method, size or SIMULATIONS, RECORDS),
        calibration.judge,
        "calibration_spend",
        methods=("laplace",),
    )


if __name__ == "__main__":
    main()
