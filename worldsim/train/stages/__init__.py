"""The stages of training: tokenizer, camera, dynamics, first frame."""
