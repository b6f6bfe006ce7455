"""Commands with a module of their own; each module's `register(app)` adds them to the `gateway` command."""
