"""`python -m worker` is `fulfillment`."""

from worker.cli import main

if __name__ == "__main__":
    main()
