"""Runs the recipes in docs/recipes unchanged."""
