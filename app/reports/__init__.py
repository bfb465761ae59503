"""A run as a file: JSON, Markdown, HTML, load results."""
