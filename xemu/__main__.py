"""`python -m xemu` is the `xemu` command."""

import sys

from xemu.cli.main import main

sys.exit(main())
