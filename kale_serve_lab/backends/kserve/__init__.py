"""InferenceServices on Kubernetes by KServe."""
