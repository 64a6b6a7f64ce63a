"""A service as objects of KServe, and what those say of it. Pure: dicts in, dicts and words out."""
