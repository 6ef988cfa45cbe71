"""Several processes that serve on one port: `supervisor` starts them, `worker` is one of them."""
