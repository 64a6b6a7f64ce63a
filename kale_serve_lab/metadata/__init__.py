"""What is recorded: artifacts, the executions that made them, and the lineage between them."""
