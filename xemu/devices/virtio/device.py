"""What a virtio device is to its transport, whatever the transport."""

from typing import Protocol

from xemu.devices.virtio.queue import Chain, Queue


class Transport(Protocol):
    """What a device may ask of its transport."""

    queues: list[Queue]
    driver_features: int  # what the driver has accepted so far

    @property
    def running(self) -> bool:
        """The driver is ready, and has not broken the rules since."""
        ...

    def interrupt(self) -> None:
        """Buffers were used."""
        ...

    def config_changed(self) -> None: ...

    def fail(self, reason: str) -> None:
        """The driver broke the rules: nothing more is done for it until it resets the device."""
        ...


class Detached:
    """The transport of a device that is not plugged in yet: there is no driver."""

    queues: list[Queue] = []
    driver_features = 0
    running = False

    def interrupt(self) -> None: ...

    def config_changed(self) -> None: ...

    def fail(self, reason: str) -> None: ...


class VirtioDevice:
    """Base of devices: identity, features, configuration space, and what happens when a queue is notified."""

    name = "virtio"
    device_id = 0
    features = 0  # device-specific bits; the transport adds its own
    queue_sizes: tuple[int, ...] = ()

    transport: Transport = Detached()

    def attach(self, transport: Transport) -> None:
        self.transport = transport

    def config(self) -> bytes:
        """The device's configuration space, little-endian."""
        return b""

    def write_config(self, offset: int, data: bytes) -> None:
        """The driver writes to the configuration space; most devices have nothing to write."""

    def notify(self, index: int) -> None:
        """Queue `index` has requests; QueueError stops the device."""

    def driver_ready(self) -> None:
        """The driver has set DRIVER_OK."""

    def reset(self) -> None:
        """Forget the driver: requests in hand are void."""

    def push(self, index: int, chain: Chain, written: int) -> None:
        """Give a request back, with an interrupt when the driver wants one."""
        if self.transport.queues[index].push(chain, written):
            self.transport.interrupt()
