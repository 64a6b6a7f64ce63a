"""The backends realise an InferenceService: on this machine, or on a cluster."""
