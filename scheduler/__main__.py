"""`python -m scheduler --settings FILE`."""

import sys

from cubernetes.host.program import main
from cubernetes.host.web.exporter import exported
from scheduler.run import run
from scheduler.settings import SchedulerSettings

sys.exit(main("scheduler", SchedulerSettings, exported(run)))
