"""The built-in model server: what runs inside a predictor's or a transformer's own process.

One process serves one component. Two threads share it: the *main thread* runs everything that belongs to the user (loading,
prediction, synchronous transformers), so that it finds the thread it was written for and OpenMP keeps one team of workers; the
*server thread* runs the event loop (HTTP, control socket, signals), so that health, control and drain answer while a model
computes. Needs the standard library, numpy, tornado and the model's own packages, nothing else.
"""
