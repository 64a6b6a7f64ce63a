"""What is asked and what is seen: values and pure functions over them, no I/O."""
