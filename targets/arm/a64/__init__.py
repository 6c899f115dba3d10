"""A64: one file per class of the Arm manual's encoding index (C4), each with its semantics and its table rows."""
