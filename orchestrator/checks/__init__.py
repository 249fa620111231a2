"""Preflight: what would go wrong, one file a subject. A finding carries its remedy; an error means that the check could
not run."""
