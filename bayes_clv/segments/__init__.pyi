from .clusters import cluster as cluster
from .flows import flow as flow
from .listing import members as members
from .presets import abc as abc
from .presets import five_actions as five_actions
from .presets import four_kinds as four_kinds
from .presets import lifecycle as lifecycle
from .presets import matrix as matrix
from .presets import rfm as rfm
from .ranking import rank as rank
from .rule_files import read_rule as read_rule
from .rules import rule as rule
from .segmenting import points as points
from .segmenting import segment as segment

__all__ = [
    "abc",
    "cluster",
    "five_actions",
    "flow",
    "four_kinds",
    "lifecycle",
    "matrix",
    "members",
    "points",
    "rank",
    "read_rule",
    "rfm",
    "rule",
    "segment",
]
