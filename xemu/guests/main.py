"""`xemu guests`: fetch guests and print where they are."""

import argparse
from collections.abc import Sequence

from xemu.guests.debian import DEFAULT_KERNEL, DEFAULT_SUITE, fetch_debian
from xemu.guests.demo import demo_path


def main(argv: Sequence[str]) -> int:
    """Prints `kernel PATH` and `initrd PATH` lines, one guest after the other."""
    parser = argparse.ArgumentParser(prog="xemu guests", description="Fetch guests into the user's cache.")
    commands = parser.add_subparsers(dest="command", required=True)
    debian = commands.add_parser("debian", help="Debian kernels and a busybox ramdisk")
    debian.add_argument("--mirror", metavar="URL", help="a Debian archive (default: this machine's own)")
    debian.add_argument("--suite", default=DEFAULT_SUITE, help="Debian release (default: %(default)s)")
    debian.add_argument("--packages", nargs="+", default=[DEFAULT_KERNEL], metavar="NAME", help="kernel packages")
    debian.add_argument("--update", action="store_true", help="look for newer packages")
    commands.add_parser("demo", help="where the demo guest is")
    arguments = parser.parse_args(argv)
    if arguments.command == "demo":
        print(f"kernel {demo_path()}")
        return 0
    for package in arguments.packages:
        guest = fetch_debian(package, arguments.suite, arguments.mirror, arguments.update)
        print(f"kernel {guest.kernel}\ninitrd {guest.initrd}")
    return 0
