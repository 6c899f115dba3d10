"""x86-64 guests: planned; the room is here so that nothing above has to move."""
