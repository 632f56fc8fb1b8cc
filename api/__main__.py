"""`python -m givre`: the command line."""

from __future__ import annotations

import sys

from givre.scripts.main import main

if __name__ == "__main__":
    sys.exit(main())
