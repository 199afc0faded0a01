"""Operating a node: health, readiness, metrics, logs, backup."""
