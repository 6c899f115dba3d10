"""Entropy device (virtio 1.2, section 5.4): fills the driver's buffers with random bytes."""

import os
from collections.abc import Callable

from xemu.devices.virtio.device import VirtioDevice

# The device may fill less than was asked for; this bounds the time under the machine's lock, whatever the guest asks.
MAX_REQUEST = 64 << 10


class VirtioRng(VirtioDevice):
    name = "virtio-rng"
    device_id = 4
    queue_sizes = (8,)

    def __init__(self, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self._random_bytes = random_bytes

    def notify(self, index: int) -> None:
        queue = self.transport.queues[index]
        # No more than the queue holds per notification: each new request brings a notification of its own.
        for _ in range(queue.size):
            chain = queue.pop()
            if chain is None:
                return
            wanted = min(chain.writable_size, MAX_REQUEST)
            self.push(index, chain, chain.write(self._random_bytes(wanted)))
