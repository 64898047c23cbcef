"""`python -m cubectl VERB ...`."""

import sys

from cubectl.cli import main

sys.exit(main())
