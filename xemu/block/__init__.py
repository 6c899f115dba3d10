"""Disk images: what is behind a guest's block device. Nothing here knows guests, devices or the command line."""
