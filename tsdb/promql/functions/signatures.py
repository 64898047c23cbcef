"""The functions of PromQL: what they take and give. Those we do not have are refused by name."""

from dataclasses import dataclass

from tsdb.promql.tree import Type

V, S, R, T = Type.VECTOR, Type.SCALAR, Type.RANGE, Type.STRING


@dataclass(frozen=True)
class Signature:
    """Argument types; the last `optional` of them may be left out, or `variadic` repeated."""

    takes: tuple[Type, ...]
    gives: Type = V
    optional: int = 0
    variadic: bool = False


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_OVER_RANGE = _names(
    "rate irate increase delta idelta avg_over_time min_over_time max_over_time sum_over_time "
    "count_over_time last_over_time present_over_time absent_over_time stddev_over_time "
    "stdvar_over_time changes resets deriv"
)
_OF_VECTOR = _names(
    "abs absent ceil floor exp ln log2 log10 sqrt sgn sort sort_desc timestamp acos acosh asin "
    "asinh atan atanh cos cosh sin sinh tan tanh deg rad"
)
_OF_TIME = _names("day_of_month day_of_week day_of_year days_in_month hour minute month year")

SIGNATURES: dict[str, Signature] = {
    **{name: Signature((R,)) for name in _OVER_RANGE},
    **{name: Signature((V,)) for name in _OF_VECTOR},
    **{name: Signature((V,), optional=1) for name in _OF_TIME},
    "clamp": Signature((V, S, S)),
    "clamp_max": Signature((V, S)),
    "clamp_min": Signature((V, S)),
    "histogram_quantile": Signature((S, V)),
    "label_join": Signature((V, T, T, T), variadic=True),
    "label_replace": Signature((V, T, T, T, T)),
    "pi": Signature((), S),
    "predict_linear": Signature((R, S)),
    "quantile_over_time": Signature((S, R)),
    "round": Signature((V, S), optional=1),
    "scalar": Signature((V,), S),
    "time": Signature((), S),
    "vector": Signature((S,)),
}

NOT_SUPPORTED = _names(
    "holt_winters double_exponential_smoothing histogram_count histogram_sum histogram_avg "
    "histogram_fraction histogram_stddev histogram_stdvar mad_over_time sort_by_label "
    "sort_by_label_desc info limitk limit_ratio first_over_time ts_of_min_over_time "
    "ts_of_max_over_time ts_of_last_over_time"
)

AGGREGATIONS = _names(
    "sum min max avg group count stddev stdvar count_values bottomk topk quantile"
)
WITH_PARAMETER = {"topk": S, "bottomk": S, "quantile": S, "count_values": T}
