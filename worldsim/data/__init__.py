"""Footage: recorded (`record`), stored (`store`, `meta`, `episode`), looked at (`inspect`) and served (`dataset`).

`game`, `spaces`, `policies` and `playing` are what plays; `worker` is the process that it plays in.
"""
