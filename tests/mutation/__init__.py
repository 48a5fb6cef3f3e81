"""Random mutation testing of the package: ``python -m tests.mutation --help``."""
