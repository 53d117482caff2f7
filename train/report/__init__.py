"""Finished runs as one page: tables, figures, HTML, Markdown and JSON."""
