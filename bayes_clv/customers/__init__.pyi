from .base_audit import audit_base as audit_base
from .cdnow import load_cdnow as load_cdnow
from .columns import with_columns as with_columns
from .contracts import from_contracts as from_contracts
from .contracts import from_survivors as from_survivors
from .experiments import from_experiment as from_experiment
from .kinds import check as check
from .opportunities import from_opportunities as from_opportunities
from .over_time import with_columns_over_time as with_columns_over_time
from .over_time import with_plan as with_plan
from .summaries import purchase_dates as purchase_dates
from .summaries import summarize as summarize
from .tables import from_table as from_table
from .tenures import from_dates as from_dates
from .tenures import from_tenures as from_tenures
from .tenures import kaplan_meier as kaplan_meier

__all__ = [
    "audit_base",
    "check",
    "from_contracts",
    "from_dates",
    "from_experiment",
    "from_opportunities",
    "from_survivors",
    "from_table",
    "from_tenures",
    "kaplan_meier",
    "load_cdnow",
    "purchase_dates",
    "summarize",
    "with_columns",
    "with_columns_over_time",
    "with_plan",
]
