"""What code of earlier eras expects; code of today needs none of it."""
