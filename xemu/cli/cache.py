"""The store of compiled code: where it is, whether it is used, and `xemu cache info|clear`."""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import jit
from jit import store, store_key
from jit.store import Store
from xemu.errors import UserError
from xemu.folders import cache_folder


def folder() -> Path:
    """Of compiled code; the guests that xemu fetches are beside it."""
    return cache_folder() / "code"


def enabled() -> bool:
    """XEMU_CACHE=off turns it off."""
    setting = os.environ.get("XEMU_CACHE", "on")
    if setting not in ("on", "off"):
        raise UserError(f"XEMU_CACHE={setting}: write XEMU_CACHE=off or XEMU_CACHE=on")
    return setting == "on"


def open_store(*guest_sources: str) -> Store | None:
    """The store for code made of these sources; None where there is to be none, or can't be one."""
    if not enabled():
        return None
    fingerprint = store_key.fingerprint((*jit.__path__, *guest_sources))
    if fingerprint is None:
        return None
    path = folder()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return Store(str(path), fingerprint)
    except store.Unsafe as problem:
        warn(f"{problem}: nothing is kept there; see `xemu cache clear`")
    except OSError:
        pass  # a system without a home, or a full disk: all works, only slower
    return None


def close_store(opened: Store) -> None:
    """At the end of a run."""
    try:
        opened.close()
    except OSError as error:
        warn(f"can't keep compiled code in {folder()}: {error.strerror}")


def warn(text: str) -> None:
    print(f"xemu: warning: {text}", file=sys.stderr)


# The subcommand

_HELP = """usage: xemu cache info    where compiled code is kept, and how much it is
       xemu cache clear   remove it"""


def main(argv: Sequence[str]) -> int:
    """`xemu cache info` and `xemu cache clear`."""
    if list(argv) in (["-h"], ["--help"]):
        print(_HELP)
        return 0
    if list(argv) == ["info"]:
        return _info()
    if list(argv) == ["clear"]:
        return _clear()
    raise UserError(f"{' '.join(('cache', *argv))}: write `xemu cache info` or `xemu cache clear`")


def _info() -> int:
    print(f"folder       {folder()}")
    print(f"used         {'yes' if enabled() else 'no: XEMU_CACHE=off'}")
    if not folder().is_dir():
        print("generations  0")
        return 0
    root = _open()
    try:
        found = store.generations(root)
    finally:
        os.close(root)
    print(f"generations  {len(found)}, one for each xemu, LLVM and host CPU")
    print(f"size         {sum(size for *_, size in found) / (1 << 20):.1f} MiB of at most {store.ALL_BYTES >> 20}")
    for used, name, segments, size in reversed(found):
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(used))
        print(f"  {name}  {size / (1 << 20):8.1f} MiB  {segments} files  last used {when}")
    return 0


def _clear() -> int:
    if folder().is_dir():
        root = _open()
        try:
            for _, name, _, _ in store.generations(root):
                store.remove_generation(root, name)
        finally:
            os.close(root)
    return 0


def _open() -> int:
    """The folder, to look at or to clear.  What is not the user's is not touched."""
    path = folder()
    try:
        return store.open_private(str(path))
    except store.Unsafe as problem:
        raise UserError(f"cache: {problem}; make it private (chmod 700) or remove it") from None
    except OSError as error:
        raise UserError(f"cache: can't open {path}: {error.strerror}") from None
