"""Layers of the tokenizer and the dynamics: pre-norm transformer parts over space and over time."""
