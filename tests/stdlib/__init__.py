"""The interpreters' own test suites, run with this package in the module's place."""
