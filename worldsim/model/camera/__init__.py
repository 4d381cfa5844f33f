"""Cameras: `geometry` warps, `flow` and `pitch` are learned, `prior` makes of them what the dynamics expect."""
