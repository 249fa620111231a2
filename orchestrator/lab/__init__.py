"""The lab: a chain in containers that can be partitioned and killed, driven from outside and, in it, from inside."""
