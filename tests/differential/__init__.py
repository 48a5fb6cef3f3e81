"""The original and this package, given the same bytes, must give the same answers.

``python -m tests.differential --help`` runs the long comparison; what is compared and
what may differ is told in `compare` and `rules`.
"""
