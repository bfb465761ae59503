"""Pages and their components; they receive ready objects."""
