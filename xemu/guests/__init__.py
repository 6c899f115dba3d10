"""Guests to boot: Debian kernels with a busybox ramdisk, fetched by package name, and a demo guest that ships along."""

from xemu.guests.debian import Guest, fetch_debian
from xemu.guests.demo import demo_path

__all__ = ["Guest", "demo_path", "fetch_debian"]
