"""The demo guest: a small arm64 program that boots where nothing can be fetched. Its source is demo/demo.s."""

from pathlib import Path


def demo_path() -> Path:
    return Path(__file__).parent / "demo" / "demo.bin"
