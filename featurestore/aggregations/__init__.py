"""Aggregations: the statistics of a subject's events, one a file. Pure.

The tests find a new file, and name what is missing: docs/aggregations.md has the checklist.
"""

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from inspect import isabstract
from typing import Any

from featurestore.aggregations.answers import Answers, ValueType
from featurestore.aggregations.base import (
    ANY_KIND,
    NUMBERS,
    Aggregation,
    Cell,
    EventIdHash,
    Kind,
    State,
    Value,
    WindowedAggregation,
)
from featurestore.aggregations.count import Count
from featurestore.aggregations.decayed_count import DecayedCount
from featurestore.aggregations.decayed_sum import DecayedSum
from featurestore.aggregations.distinct_count import DistinctCount
from featurestore.aggregations.duration import seconds
from featurestore.aggregations.first import First
from featurestore.aggregations.last import Last
from featurestore.aggregations.last_n import LastN
from featurestore.aggregations.last_or_null import LastOrNull
from featurestore.aggregations.max import Max
from featurestore.aggregations.mean import Mean
from featurestore.aggregations.min import Min
from featurestore.aggregations.quantile import Quantile
from featurestore.aggregations.session_count import SessionCount
from featurestore.aggregations.session_mean_duration import SessionMeanDuration
from featurestore.aggregations.stddev import StdDev
from featurestore.aggregations.sum import Sum
from featurestore.aggregations.time_since_last import TimeSinceLast
from featurestore.aggregations.top_k import TopK
from featurestore.aggregations.variance import Variance

__all__ = [
    "ANY_KIND",
    "NUMBERS",
    "Aggregation",
    "Answers",
    "Cell",
    "Count",
    "DecayedCount",
    "DecayedSum",
    "DistinctCount",
    "EventIdHash",
    "First",
    "Kind",
    "Last",
    "LastN",
    "LastOrNull",
    "Max",
    "Mean",
    "Min",
    "Quantile",
    "SessionCount",
    "SessionMeanDuration",
    "State",
    "StdDev",
    "Sum",
    "TimeSinceLast",
    "TopK",
    "Value",
    "ValueType",
    "Variance",
    "WindowedAggregation",
    "all_aggregations",
    "seconds",
]


def all_aggregations() -> list[type[Aggregation]]:
    """All aggregations of this folder, also those not imported above: the concrete subclasses of Aggregation."""
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        import_module(module.name)
    return sorted(
        {child for child in subclasses_of(Aggregation) if not isabstract(child)}, key=lambda child: child.__name__
    )


def subclasses_of(parent: type[Any]) -> Iterator[type[Any]]:
    """The subclasses of a class and theirs."""
    for child in parent.__subclasses__():
        yield child
        yield from subclasses_of(child)
