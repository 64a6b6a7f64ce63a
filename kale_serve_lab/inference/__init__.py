"""The wire, without any I/O: tensors, the signature, the v1 and v2 protocols as bytes."""
