"""Where in a photograph a model found its answer."""
