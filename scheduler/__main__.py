"""`python -m scheduler --settings FILE`."""

import sys
from functools import partial

from cubernetes.host.loaded import keep_loaded
from cubernetes.host.program import main
from cubernetes.host.web.exporter import exported
from scheduler.run import run
from scheduler.settings import SchedulerSettings

sys.exit(main("scheduler", SchedulerSettings, exported(partial(run, loaded=keep_loaded))))
