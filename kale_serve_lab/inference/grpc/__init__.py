"""gRPC's messages as bytes, read and written by hand.

Nothing here registers a protobuf descriptor: generated modules of the same messages (tritonclient's, kserve's, TensorFlow
Serving's) can be loaded beside it in any version, and none has to be there.
"""
