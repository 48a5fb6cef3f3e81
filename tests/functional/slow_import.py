"""A module that takes a minute to be imported."""

import time

print("importing", flush=True)
time.sleep(60)
