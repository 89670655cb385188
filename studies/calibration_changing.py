"""Is inference calibrated where customers change, or come back: calibration by simulation of the families of these.

Question
    That of ``calibration``, whose loop this is, of MBG/NBD and Pareto/NBD whose purchase rates drift and of MBG/NBD
    with returns: is the truth one of the posterior draws? Every quantity is sampled, the share that never returns
    too, which ``fit`` holds at 0 by default.
Pass rule, stated before the run
    1. No quantity or parameter by laplace has p below 0.05 / (number of laplace's rows), flagged fits included, and
       draws made 5 % too large are caught in every family.
    2. The same of NUTS, which is run for the first 50 of the 200 bases: too few to catch 5 %, enough to tell laplace
       from the likelihood where laplace fails.

A base has 200 customers, aged 26 to 78 weeks. Priors are the defaults, but for the mean purchase rate, which is 0.1 a
week within a factor of 4.4 (95 %), where the default has 19: a few bases of a thousand purchases a customer would take
as long as all the others, and it is not the rate that is new here. Of laplace 400 draws, of NUTS every fourth of 400
after 300 steps of tuning.

What was found
    FOUND

Run all with ``uv run python -m studies.calibration_changing``; options, records and ``--judge`` are those of
``calibration``.
"""

from studies import calibration
from studies.ranks import Row, blind, command, outside

# Of laplace, and of NUTS.
SIMULATIONS = {"laplace": 200, "nuts": 50}


def rule(rows: list[Row]) -> list[str]:
    """Return what fails the pass rule, a line each; nothing where it is met."""
    by = {method: [row for row in rows if row["method"] == method] for method in SIMULATIONS}
    beyond = [line for own in by.values() if own for line in outside(own, 0.05 / len(own))]
    return beyond + blind(by["laplace"], 0.05 / max(len(by["laplace"]), 1))


def main() -> None:
    """Simulate what is missing, judge, draw; exit with 1 where the pass rule fails."""
    command(
        "Simulation-based calibration of the families whose customers change or come back.",
        list(calibration.CHANGING),
        lambda family, method, size: calibration.records(
            family, method, size or SIMULATIONS[method], calibration.RECORDS.with_name("calibration_changing")
        ),
        calibration.judge,
        "calibration_changing",
        rule,
    )


if __name__ == "__main__":
    main()
