"""What a selector gives: series, and their samples."""

from dataclasses import dataclass

from tsdb.columns.frame import Frame
from tsdb.columns.labels import Key
from tsdb.columns.series import Series


@dataclass(frozen=True)
class Selection:
    """Series, in no order that means anything, and their samples: row i belongs to keys[i]."""

    keys: list[Key]
    series: Series
    frame: Frame
