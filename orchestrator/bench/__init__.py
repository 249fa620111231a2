"""The performance figures: each a ratio to a floor measured in the same run, since machines differ and are shared."""
