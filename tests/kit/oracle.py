"""The oracle: features recomputed from raw rows by DuckDB, from the output of ``features show --json`` alone.

Rows are a table ``events(customer, t_ms, event_id_hash, <fields>)``; scaled fields are DECIMAL, so that sums are exact.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import duckdb

Spec = dict[str, Any]

TIMES = "list_sort(list(t_ms))"
PAUSES = (
    f"list_filter(list_transform(list_zip({TIMES}[2:], {TIMES}, true), lambda pair: pair[1] - pair[2]), "
    "lambda pause: pause > {gap_ms})"
)
SESSIONS = f"(len({PAUSES}) + 1)"
AS_OF_MS = "greatest({now_ms}, max(t_ms))"
LEAD = f"pow(2, ({{now_ms}} - {AS_OF_MS}) / {{half_life_ms}})"
"""While the latest event is ahead of now, answers are as of its time: no part of a decayed sum is more than whole."""

SQL = {
    "Count": "count(*)",
    "Sum": "coalesce(sum({field}), 0)",
    "Mean": "avg({field}::DOUBLE)",
    "Min": "min({field})",
    "Max": "max({field})",
    "Variance": "var_pop({field}::DOUBLE)",
    "StdDev": "stddev_pop({field}::DOUBLE)",
    "First": "arg_min({field}, (t_ms, event_id_hash))",
    "Last": "arg_max({field}, (t_ms, event_id_hash))",
    "LastOrNull": "list({field} ORDER BY t_ms DESC, event_id_hash DESC)[1]",
    "TimeSinceLast": f"({AS_OF_MS} - max(t_ms)) / 1000.0",
    "DistinctCount": "count(DISTINCT {field})",
    "DecayedCount": f"sum(pow(2, (t_ms - {{now_ms}}) / {{half_life_ms}})) * {LEAD}",
    "DecayedSum": f"sum({{field}}::DOUBLE * pow(2, (t_ms - {{now_ms}}) / {{half_life_ms}})) * {LEAD}",
    "SessionCount": SESSIONS,
    "SessionMeanDuration": f"(max(t_ms) - min(t_ms) - coalesce(list_sum({PAUSES}), 0)) / {SESSIONS} / 1000.0",
    "TopK": "histogram({field})",
    "Quantile": "list_sort(list({field}::DOUBLE))",
    "LastN": "list({field} ORDER BY t_ms DESC, event_id_hash DESC)[:{n}]",
}
UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
DISTINCT_EXACT = 128


class Mismatch(NamedTuple):
    """A served value that differs from the raw rows."""

    customer: str
    feature: str
    served: Any
    expected: Any


def mismatches(db: duckdb.DuckDBPyConnection, spec: Spec, served: dict[str, Any], now_ms: int) -> Iterator[Mismatch]:
    """Where one feature's served values, by customer, differ from the oracle's at the same time."""
    expected = recomputed(db, spec, list(served), now_ms)
    for customer, value in served.items():
        if not agrees(spec, value, expected.get(customer)):
            yield Mismatch(customer, spec["name"], value, expected.get(customer))


def recomputed(db: duckdb.DuckDBPyConnection, spec: Spec, customers: Sequence[str], now_ms: int) -> dict[str, Any]:
    """One feature of some customers from the raw rows; those without a row that counts are absent."""
    conditions = ["customer IN (SELECT unnest(?))"]
    if spec["window_s"] is not None:
        edge_s = now_ms // 1000 - spec["window_s"]
        conditions.append(f"t_ms >= {(edge_s - edge_s % spec['step_s']) * 1000}")
    conditions += [f"{field} IN ({', '.join(map(literal, values))})" for field, values in spec["filter"].items()]
    if spec["field"] and spec["aggregation"] != "LastOrNull":
        conditions.append(f"{spec['field']} IS NOT NULL")
    parameters = dict(spec["parameters"])
    for name in {"half_life", "gap"} & parameters.keys():
        text = parameters.pop(name)
        parameters[f"{name}_ms"] = f"{int(text[:-1]) * UNITS_MS[text[-1]]}.0"
    expression = SQL[spec["aggregation"]].format(field=spec["field"], now_ms=now_ms, **parameters)
    query = f"SELECT customer, {expression} FROM events WHERE {' AND '.join(conditions)} GROUP BY customer"
    return dict(db.execute(query, [list(customers)]).fetchall())


def literal(value: object) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)


def agrees(spec: Spec, served: Any, expected: Any) -> bool:
    """Whether a served value is the expected one: floats to 1e-9 relative, sketches within their stated error.

    Top values and quantiles are exact while those of a tile are few, as in all data that is compared.
    """
    if expected is None:
        return bool(served == spec["default"])
    if served is None:
        return False
    kind = spec["aggregation"]
    if kind == "TopK":
        return agrees_top(served, dict(expected), spec["parameters"]["k"])
    if kind == "Quantile":
        return agrees_quantile(served, expected, spec["parameters"]["q"])
    if kind == "DistinctCount" and expected > DISTINCT_EXACT:
        return abs(served - expected) <= 4 * 0.023 * expected  # four standard errors
    if isinstance(served, str | list | bool):
        return bool(served == expected)
    if kind == "StdDev":  # the error of a rounded mean, where all values are alike, is of the mean's size
        return math.isclose(served, float(expected), rel_tol=1e-9, abs_tol=1e-6)
    return math.isclose(served, float(expected), rel_tol=1e-9, abs_tol=1e-9)


def agrees_top(served: list[Any], counts: dict[Any, int], k: int) -> bool:
    return served == sorted(counts, key=lambda value: (-counts[value], value))[:k]


def agrees_quantile(served: float, values: list[float], q: float) -> bool:
    return math.isclose(served, values[max(math.ceil(q * len(values)), 1) - 1], rel_tol=1e-9)
