"""FastAPI routers: they parse, call the pipeline, and answer."""
