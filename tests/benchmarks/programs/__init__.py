"""What runs in the server processes; each prints its port, then serves for ever."""
