"""What maintainers run now and then; nothing here is part of the connector or of its package."""
