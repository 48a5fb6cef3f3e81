"""Nothing here was copied: the longest passages that we share with the original.

``python -m tests.origin`` compares every Python file of this repository with the
original's module and its tests, as interpreters have them, and prints the longest runs
of lines that are equal but for spaces.
"""
