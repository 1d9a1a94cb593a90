"""Airbyte's base image runs this file."""

from destination_drift.run import main

if __name__ == "__main__":
    main()
