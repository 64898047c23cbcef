"""python -m apiserver --settings FILE"""

import sys

from apiserver.run import run
from apiserver.settings import Settings
from cubernetes.host.program import main

if __name__ == "__main__":
    sys.exit(main("apiserver", Settings, run))
