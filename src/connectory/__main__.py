"""`python -m connectory` is the `connectory` command."""

from connectory.cli.main import main

if __name__ == "__main__":
    main()
