"""`python -m serverless --settings FILE`."""

import sys

from cubernetes.host.program import main
from cubernetes.host.web.exporter import exported
from serverless.run import run
from serverless.settings import ServerlessSettings

sys.exit(main("serverless", ServerlessSettings, exported(run)))
