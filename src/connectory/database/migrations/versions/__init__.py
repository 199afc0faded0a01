"""One script a schema change, numbered."""
