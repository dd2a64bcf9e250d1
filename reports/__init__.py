"""stepbench."""
