"""Functions of text: no sockets, no state."""
