"""An index over HTTP, and a page to search it with."""
