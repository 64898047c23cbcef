"""`python -m gateway --settings FILE`."""

import sys

from cubernetes.host.program import main
from cubernetes.host.web.exporter import exported
from gateway.run import run
from gateway.settings import GatewaySettings

sys.exit(main("gateway", GatewaySettings, exported(run)))
