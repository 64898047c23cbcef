"""`python -m kubelet --settings FILE`."""

import sys

from cubernetes.host.program import main
from cubernetes.host.web.exporter import exported
from kubelet.run import run
from kubelet.settings import KubeletSettings

sys.exit(main("kubelet", KubeletSettings, exported(run)))
