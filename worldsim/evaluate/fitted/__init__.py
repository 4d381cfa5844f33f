"""What is fitted to recorded frames for the metrics, and the networks that they use."""
