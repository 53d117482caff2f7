"""`python -m texneg`: the command line."""

import sys

from texneg.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
