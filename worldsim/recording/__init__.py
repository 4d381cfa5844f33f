"""Games and how they are recorded: `record` plays a game in processes and lists its episodes in order.

From below: `spaces` (action spaces), `policies` (who plays), `game` (a running game), `episode` (one played episode),
`process` (a game in a process of its own), `real` (one to step from here), `record` (footage from many processes).
"""
