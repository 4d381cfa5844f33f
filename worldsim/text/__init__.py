"""Prompts: `prompt` turns text into numbers, `sentence` and `encoder` turn these into tokens."""
