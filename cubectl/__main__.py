"""`python -m cubectl VERB ...`."""

import sys

from cubectl.entry import main

sys.exit(main())
