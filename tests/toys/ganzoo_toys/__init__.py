"""Toy plugins of a stranger's package: each plays a game that looks nothing like the usual one."""
