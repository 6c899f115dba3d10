"""Virtio devices (OASIS Virtual I/O Device specification 1.2) behind the memory-mapped transport."""
