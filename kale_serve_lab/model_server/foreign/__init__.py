"""Servers that we did not write, each as the child of one of our processes."""
