"""A chain of stores on one machine: server, sample data, replay, proof."""
