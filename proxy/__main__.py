"""`python -m proxy --settings FILE`."""

import sys

from cubernetes.host.program import main
from cubernetes.host.web.exporter import exported
from proxy.run import run
from proxy.settings import ProxySettings

sys.exit(main("proxy", ProxySettings, exported(run)))
