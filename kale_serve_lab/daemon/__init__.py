"""The daemon: one per user and data directory; composes metadata, stores and backends behind an API on a Unix socket."""
