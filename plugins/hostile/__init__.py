"""An adapter that does everything wrong. It has no entry point: nothing loads it but tests that name it."""
