"""The `connectory` command. Each module holds the commands of one subject."""
