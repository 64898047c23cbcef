"""`python -m kubelet --settings FILE`."""

import sys

from cubernetes.host.exporter import exported
from cubernetes.host.program import main
from kubelet.run import run
from kubelet.settings import KubeletSettings

sys.exit(main("kubelet", KubeletSettings, exported(run)))
