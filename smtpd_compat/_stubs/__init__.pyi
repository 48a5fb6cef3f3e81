"""Types of asyncore and asynchat, for type checkers; nothing imports this folder.

Checkers know both modules up to Python 3.11, as parts of the standard library.  From
3.12 on they are pyasyncore and pyasynchat, which have no types: without these here a
checker takes whatever our classes inherit for `Any`, and misses every misspelt name.
"""
