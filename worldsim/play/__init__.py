"""Play a world in the browser: many players, one model, a page that needs nothing but a browser.

From below: `messages` (what a page may say), `controls` (keys to actions), `picture` and `frames` (what goes over the
line), `stepper` (one model for many), `recording`, `real` (the game itself beside its dream), `player` (one person's
world), `seat` (one connection), `room` (the game loop), `hub` (places and queue), `server` (the web). What page and
server say to each other is in docs/play-protocol.md.
"""
