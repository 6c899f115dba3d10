"""The `xemu` command."""

import importlib
import os
import sys
from collections.abc import Sequence

from xemu import __version__
from xemu.errors import UserError

# Subcommands, each imported only when asked for: `xemu -version` must not wait for a code generator.
_SUBCOMMANDS = {
    "cache": "xemu.cli.cache",
    "explain": "xemu.explain",
    "guests": "xemu.guests.main",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; the result is the process's exit status."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        status = _dispatch(argv)
        sys.stdout.flush()
        return status
    except UserError as error:
        print(f"xemu: {_one_line(str(error))}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Somebody read enough of our output (`xemu -h | head`). Keep the interpreter from flushing once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130


def _dispatch(argv: list[str]) -> int:
    if argv and argv[0] in _SUBCOMMANDS:
        return importlib.import_module(_SUBCOMMANDS[argv[0]]).main(argv[1:]) or 0

    from xemu.cli import help, options

    line = options.parse(argv)
    if line.has("version"):
        print(f"xemu version {__version__}")
        return 0
    text = help.requested(line)
    if text is not None:
        print(text)
        return 0

    from xemu.cli import run, settings

    return run.run(settings.build(line))


def _one_line(text: str) -> str:
    """File names may hold anything; an error stays one line and leaves the terminal alone."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


if __name__ == "__main__":
    sys.exit(main())
