"""The modules of a world, and how they generate: tokenizer, dynamics with their prior, outcome, first frame."""
