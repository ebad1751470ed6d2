"""Configuration: schema, search dimensions, YAML and key=value. Imports neither torch nor ray."""
