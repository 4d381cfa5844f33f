"""Luanti, a 3D block game, as an environment in lock-step.

From below: `lockstep.c` and `lockstep` (any program that draws with GLX, frame by frame), `client` (a running Luanti
with its two mods), `words` (its states in words), `player` (who shows the world), `game` (the environment).
"""
