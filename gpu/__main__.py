"""`python -m gpu --settings FILE`."""

import sys

from cubernetes.host.program import main
from cubernetes.host.web.exporter import exported
from gpu.run import run
from gpu.settings import GpuSettings

sys.exit(main("gpu", GpuSettings, exported(run)))
