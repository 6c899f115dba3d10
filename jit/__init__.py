"""The IR and everything that makes and keeps host code.  Knows no guest architecture and no machine."""
