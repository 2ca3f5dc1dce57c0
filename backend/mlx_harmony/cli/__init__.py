"""The terminal: one file a command. It knows the service's door and the in-process engine, and imports them only when a command runs."""
