"""The demonstration: legacy systems as programs of their own, the gateway before them, a day's story over its API."""
