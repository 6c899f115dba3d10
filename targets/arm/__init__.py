"""Arm guests: A64 semantics, system registers, MMU and exceptions, CPU models, the vCPU."""
