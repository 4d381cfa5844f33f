"""Footage: stored (`store`, `meta`, `episode`), summarized (`inspect`), captioned (`captions`) and served
as batches (`dataset`, `controls`)."""
