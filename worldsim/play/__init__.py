"""Play a world in the browser: many players, one model, a page that needs nothing but a browser.

From below: `messages` (what a page may send), `controls` (keys to actions), `frames` (as bytes),
`stepper` (one model for many), `archive` (recordings), `reference` (the real game beside its dream), `player` (one
person's world), `session` (one person there), `room` (the game loop), `sessions` (places and queue), `connection`
(one WebSocket), `guard` (who is let in), `http` (requests), `server` (the web).
The protocol of page and server is docs/play-protocol.md.
"""
