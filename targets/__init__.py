"""Guest architectures: decode, semantics, MMU and exception model, CPU models.  Imports jit, never xemu."""
