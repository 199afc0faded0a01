"""ConnectorStaged: drafts, update actions, checks, preview, publish and certification."""
