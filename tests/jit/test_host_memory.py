"""Memory of the host."""

import subprocess
import sys

# A large block's address when one as large was freed before: in a mapping of its own it lies where nothing else does.
_PROGRAM = """
import ctypes, sys
from jit.host_memory import return_freed_memory
if not return_freed_memory():
    sys.exit("there is no mallopt")
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
libc.free(libc.malloc(8 << 20))
at = libc.malloc(8 << 20)
for line in open("/proc/self/maps"):
    start, end = (int(part, 16) for part in line.split()[0].split("-"))
    if start <= at < end:
        sys.exit("it is on the heap" if "[heap]" in line else 0)
"""


def test_large_blocks_go_back_to_the_host() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
