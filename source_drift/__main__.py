"""`python -m source_drift`: the same command as the console script `source-drift`."""

from source_drift.run import main

if __name__ == "__main__":
    main()
