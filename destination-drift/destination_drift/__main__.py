"""`python -m destination_drift` is the console script."""

from destination_drift.run import main

if __name__ == "__main__":
    main()
