"""`python -m xemu.guests`: the same as `xemu guests`."""

import sys

from xemu.errors import UserError
from xemu.guests.main import main

if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        print(f"xemu: {error}", file=sys.stderr)
        sys.exit(1)
