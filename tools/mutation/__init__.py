"""Mutation tests of components.py: `make mutants`; see __main__.py."""
