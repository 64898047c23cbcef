"""`python -m controllers --settings FILE`."""

import sys

from controllers.run import run
from controllers.settings import ControllersSettings
from cubernetes.host.program import main
from cubernetes.host.web.exporter import exported

sys.exit(main("controllers", ControllersSettings, exported(run)))
