"""`python -m controllers --settings FILE`."""

import sys

from controllers.run import run
from controllers.settings import ControllersSettings
from cubernetes.host.exporter import exported
from cubernetes.host.program import main

sys.exit(main("controllers", ControllersSettings, exported(run)))
