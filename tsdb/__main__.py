"""`python -m tsdb --settings FILE`: the time-series store as a program."""

import sys

from cubernetes.host.program import main
from tsdb.run import run
from tsdb.settings import TsdbSettings

sys.exit(main("tsdb", TsdbSettings, run))
