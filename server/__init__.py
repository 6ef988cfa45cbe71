"""What a process offers: the HTTP application, sessions, configuration, admission, metrics."""
