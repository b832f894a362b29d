"""`python -m chatlab` is `chatlab`."""

import sys

from .cli import main

sys.exit(main())
