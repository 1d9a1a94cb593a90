"""Tools for maintainers, one folder each. None of them is part of the connector or its package."""
