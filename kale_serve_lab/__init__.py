"""From a trained model to a live, monitored endpoint."""
