"""`python -m resolver --settings FILE`."""

import sys

from cubernetes.host.program import main
from cubernetes.host.web.exporter import exported
from resolver.run import run
from resolver.settings import ResolverSettings

sys.exit(main("resolver", ResolverSettings, exported(run)))
