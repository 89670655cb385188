"""What the command ``run`` is told: one record, its checks, and how it is written down."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bayes_clv.schema import InputError

DEFAULT_HORIZON = "52 weeks"


@dataclass(frozen=True)
class Settings:
    """What to run. Durations and dates as ``summarize`` and ``predict_value`` take them.

    ``orders`` is a path or a table. ``spend=None`` runs on purchases alone. ``horizon=None`` is the
    holdout's duration where there is a holdout, else 52 weeks. ``posteriors`` names the folder of an earlier run
    whose posteriors are used in place of a fit, and with them their ``family``. ``columns`` is a table of one row
    per customer (a file, or a DataFrame) from which ``covariates`` and ``groups`` take columns, as ``fit`` takes
    them: a name of the mappings is given to the fit that has it, "spend" to that of spend; groups without mapping
    to both.
    """

    orders: Any
    out: Path
    customer_id: str = "customer_id"
    date: str = "date"
    spend: str | None = "spend"
    until: str | None = None
    holdout_until: str | None = None
    time_unit: str = "week"
    horizon: str | None = None
    margin: float = 1.0
    annual_discount_rate: float = 0.0
    acquisition_cost: float = 0.0
    family: str = "bg_nbd"
    method: str = "nuts"
    draws: int = 1000
    seed: int = 1
    on_bad_rows: str = "refuse"
    posteriors: Path | None = None
    columns: Any = None
    covariates: dict[str, list[str]] = field(default_factory=dict)
    groups: dict[str, list[str]] | list[str] = field(default_factory=list)
    title: str = "Customer lifetime value"


def families_of(settings: Settings) -> dict[str, str]:
    """Return the family of each fit."""
    return {"buying": settings.family} | ({} if settings.spend is None else {"spending": "gamma_gamma"})


def acting_on(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return the covariates and groups of each fit; a process or quantity that no fit has is refused."""
    from bayes_clv.families.registry import family as find_family

    records = {role: find_family(name) for role, name in families_of(settings).items()}
    given: dict[str, dict[str, Any]] = {role: {} for role in records}
    for kind, value in (("covariates", settings.covariates), ("groups", settings.groups)):
        if not isinstance(value, dict):
            for arguments in given.values():
                arguments[kind] = value
            continue
        for target, columns in value.items():
            roles = [role for role, each in records.items() if target in (*each.processes, *each.quantities)]
            if not roles:
                known = dict.fromkeys(
                    name for each in records.values() for name in (*each.processes, *each.quantities)
                )
                raise InputError(
                    f"{target!r} is nothing that a column can act on. Use one of {', '.join(known)}."
                )
            given[roles[0]].setdefault(kind, {})[target] = columns
    return given


def named_by(settings: Settings) -> list[str]:
    """Return the columns that covariates and groups read."""
    from bayes_clv.inference.effects import needed_columns

    return needed_columns(settings.covariates, settings.groups)


def fields_of(settings: Settings) -> dict[str, Any]:
    """Return the settings by name."""
    return {item.name: getattr(settings, item.name) for item in dataclasses.fields(settings)}


def plain(setting: Any) -> Any:
    """Return an argument as JSON can hold it: a path by its name, since a run may be shared."""
    if isinstance(setting, dict | list):
        return setting
    if isinstance(setting, str | int | float | None):
        return Path(setting).name if isinstance(setting, str) and Path(setting).is_absolute() else setting
    return setting.name if isinstance(setting, Path) else f"a {type(setting).__name__}"


def check_settings(settings: Settings) -> None:
    """Refuse what can be refused before a long log is read and anything is sampled."""
    from bayes_clv.families.registry import families
    from bayes_clv.units import checked_margin, discount_rate, duration

    known = families("purchases")
    if settings.family not in known:
        raise InputError(f"family={settings.family!r} forecasts no purchases. Use one of {', '.join(known)}.")
    if not 0 <= settings.seed < 2**31:
        raise InputError(f"seed={settings.seed} must be from 0 to 2147483647.")
    if settings.horizon is not None:
        duration(settings.horizon, settings.time_unit)
    discount_rate(settings.annual_discount_rate, settings.time_unit)
    checked_margin(settings.margin)
    acting_on(settings)
    if (settings.covariates or settings.groups) and settings.columns is None:
        raise InputError(
            f"Where are {', '.join(map(repr, named_by(settings)))}? "
            f"Name the table of one row per customer with columns=."
        )
    if (
        settings.columns is not None
        and settings.posteriors is None
        and not (settings.covariates or settings.groups)
    ):
        raise InputError("The table of columns= serves nothing without covariates= or groups=.")
    if settings.posteriors is not None:
        needed = ("buying.nc",) if settings.spend is None else ("buying.nc", "spending.nc")
        missing = [name for name in needed if not (settings.posteriors / name).is_file()]
        if missing:
            raise InputError(
                f"There is no file {' and no file '.join(map(repr, missing))} in {str(settings.posteriors)!r}. "
                "Name the folder of an earlier run with --posteriors; a run with --purchases-only writes no "
                "'spending.nc'."
            )
