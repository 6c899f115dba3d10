"""Accelerators: what runs the guest's instructions."""
