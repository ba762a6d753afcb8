"""Is this machine, and this directory, fit for a store? ``examination.py`` is the way in."""
